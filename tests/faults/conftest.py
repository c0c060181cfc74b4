# SPDX-License-Identifier: Apache-2.0
"""The two clouds of tests/cloud, with little patience, for the part of the matrix that runs with the suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud.world import World
from tests.faults.hurry import hurried
from tests.faults.runner import Runner


@pytest.fixture(scope="module")
def runner(clouds: World) -> Iterator[Runner]:
    """Runs cases; afterwards the clouds are as they were, and nothing is left."""
    with hurried(clouds):
        started = Runner(clouds, print)
        yield started
        started.close()
