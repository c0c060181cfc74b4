# SPDX-License-Identifier: Apache-2.0
"""How long the guest stood still, though the clocks of the two clouds differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from sv2m.engine import source


def stopped_for(paused: int, released: int, ran: int) -> float:
    """Seconds that are reported, when each was that many seconds ago; the third by B's clock."""
    now = datetime.now(UTC)
    moments = [now - timedelta(seconds=ago) for ago in (paused, released, ran)]
    state = {"paused_at": moments[0].isoformat(), "released_at": moments[1].isoformat()}
    work: Any = SimpleNamespace(state=state)
    receipt: Any = SimpleNamespace(at=moments[2])
    return source._stopped_for(work, receipt) / 1000


def test_the_guests_own_stop_is_reported_however_late_the_receipt_comes() -> None:
    # To the end of the second that B has signed.
    assert stopped_for(paused=100, released=90, ran=60) == pytest.approx(41, abs=0.1)


def test_a_clock_that_is_behind_does_not_make_it_shorter_than_to_the_release() -> None:
    assert stopped_for(paused=100, released=90, ran=5000) == pytest.approx(10, abs=0.1)


def test_a_clock_that_is_ahead_does_not_make_it_longer_than_to_the_receipt() -> None:
    assert 100 <= stopped_for(paused=100, released=90, ran=-5000) < 160
