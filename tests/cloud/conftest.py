# SPDX-License-Identifier: Apache-2.0
"""The two clouds, as one test of this directory finds and leaves them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud.world import World


@pytest.fixture
def world(clouds: World) -> Iterator[World]:
    """The clouds; whatever a test did, afterwards nothing may be left of it but its history."""
    yield clouds
    clouds.tidy()
    assert clouds.leftovers() == []
