# SPDX-License-Identifier: Apache-2.0
"""Two real clouds, started once for all tests that want them, and stopped after the last.

The lab is imported by those tests only: what a unit test has imported is what it says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from lab.session import LabSession
    from tests.cloud.world import World

pytest_plugins = ("tests.budget",)
#: Directories whose tests share what there is one of: clouds, and hosts. They stay in one process.
_TOGETHER = {"tests/cloud/": "clouds", "tests/faults/": "clouds", "tests/agent/": "hosts"}
# How fast a test runs says nothing about the code: the other process, or the machine, may be busy.
settings.register_profile(
    "sv2m", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("sv2m")
DIRECTORY = os.environ.get("SV2M_TEST_LAB_DIR", "/var/tmp/sv2m-test")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """How several processes share the tests: in the order in which they are named, those of a file together."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return next((shared for within, shared in _TOGETHER.items() if file.startswith(within)), file)

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[LabSession]:
    """Both clouds. SV2M_TEST_KEEP=1 leaves them running, for looking around after a failure."""
    from lab.cloud import Lab
    from lab.down import stop_all
    from lab.progress import Progress
    from lab.session import LabSession
    from lab.up import exclusive, up

    running = Lab.load(DIRECTORY)
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        up(running, Progress())
    yield LabSession(running)
    if not os.environ.get("SV2M_TEST_KEEP"):
        with exclusive(running):
            stop_all(running)
            (running.directory / "up").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def clouds(lab: LabSession) -> World:
    """The clouds with their users."""
    from tests.cloud.world import World

    return World(lab)
