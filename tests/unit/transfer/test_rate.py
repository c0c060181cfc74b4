# SPDX-License-Identifier: Apache-2.0
"""The brake, on a clock of its own."""

from __future__ import annotations

import pytest

from sv2m.transfer.rate import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


def test_no_limit_never_waits() -> None:
    clock = Clock()
    bucket = TokenBucket(0, clock=clock, wait=clock.wait)
    bucket.take(1 << 40)
    assert clock.now == 100.0


@pytest.mark.parametrize("piece", [1000, 4000, 50_000])
def test_the_rate_holds_over_time(piece: int) -> None:
    clock = Clock()
    bucket = TokenBucket(10_000, clock=clock, wait=clock.wait)
    for _ in range(1_000_000 // piece):
        bucket.take(piece)
    assert clock.now - 100.0 == pytest.approx(100.0, abs=0.5)


def test_a_pause_is_not_made_up_for_by_more_than_a_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(10_000, clock=clock, wait=clock.wait)
    bucket.take(10_000)
    clock.now += 1000
    before = clock.now
    bucket.take(10_000)
    assert clock.now - before == pytest.approx(0.75)
