# SPDX-License-Identifier: Apache-2.0
"""A data channel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.transfer.channel import Channel


@pytest.fixture
def channel() -> Iterator[Channel]:
    made = Channel()
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[Channel]:
    """One that soon closes a connection that shows no ticket."""
    made = Channel(hello_timeout=0.5)
    yield made
    made.close()
