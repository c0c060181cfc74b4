# SPDX-License-Identifier: Apache-2.0
"""Two real clouds, started once for all tests of this directory, and stopped after the last."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.cloud import Lab
from lab.down import stop_all
from lab.progress import Progress
from lab.session import LabSession
from lab.up import exclusive, up
from tests.cloud.world import World

DIRECTORY = os.environ.get("SV2M_TEST_LAB_DIR", "/var/tmp/sv2m-test")


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[LabSession]:
    """Both clouds. SV2M_TEST_KEEP=1 leaves them running, for looking around after a failure."""
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
    return World(lab)


@pytest.fixture
def world(clouds: World) -> Iterator[World]:
    """The clouds; whatever a test did, afterwards nothing may be left of it but its history."""
    yield clouds
    clouds.tidy()
    assert clouds.leftovers() == []
