# SPDX-License-Identifier: Apache-2.0
"""The brake and the measure, on a clock of their own."""

from __future__ import annotations

import pytest

from sv2m.transfer.rate import Meter, TokenBucket


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


def test_a_brake_that_is_released_lets_everything_pass() -> None:
    clock = Clock()
    bucket = TokenBucket(1000, clock=clock, wait=clock.wait)
    bucket.take(5000)
    waited = clock.now
    bucket.release()
    bucket.take(1 << 40)
    assert clock.now == waited
    assert bucket.piece == 4 << 20


def test_a_rate_is_measured_while_something_is_under_way() -> None:
    clock = Clock()
    meter = Meter(clock)
    assert meter.rate == 0.0
    meter.begin()
    clock.now += 1.0
    meter.take(8 << 20)
    assert meter.rate == 8 << 20
    meter.pause()
    clock.now += 1000.0
    meter.begin()
    clock.now += 1.0
    meter.take(8 << 20)
    assert meter.rate == 8 << 20


def test_a_stretch_in_which_little_passes_hides_no_rate_and_an_old_one_is_forgotten() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin()
    for seconds, count in ((2.0, 200 << 20), (500.0, 4 << 20)):
        clock.now += seconds
        meter.take(count)
    assert meter.rate == 100 << 20
    for _ in range(8):
        clock.now += 2.0
        meter.take(8 << 20)
    assert meter.rate == 4 << 20


def test_too_little_to_measure_says_nothing() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.begin()
    clock.now += 100.0
    meter.take(1000)
    assert meter.rate == 0.0
