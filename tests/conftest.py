# SPDX-License-Identifier: Apache-2.0
"""Two real clouds, started once for all tests that want them, and stopped after the last.

The lab is imported by those tests only: what a unit test has imported is what it says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab.session import LabSession
    from tests.cloud.world import World

#: Fixtures of which there is one at a time: tests that want it stay in one process.
_ONE_OF_ITS_KIND = ("lab", "hosts")
DIRECTORY = os.environ.get("SV2M_TEST_LAB_DIR", "/var/tmp/sv2m-test")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests, those of a file stay together, and all that use the clouds do."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = next((one for one in _ONE_OF_ITS_KIND if one in fixtures), str(item.path))
        item.add_marker(pytest.mark.xdist_group(group))


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
