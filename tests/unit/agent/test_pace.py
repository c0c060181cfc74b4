# SPDX-License-Identifier: Apache-2.0
"""A guest is stopped only when what is left of it fits; until then there are rounds, as long as they help."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from sv2m.agent.pace import Bounds, Left, Pace
from sv2m.errors import ServerNotMovable
from sv2m.protocol.plan import MAX_SEGMENTS

MIB, GIB = 1 << 20, 1 << 30
RATE = 100 * MIB


@dataclass
class Transfer:
    """What a pace is told of: seconds that have passed, bytes per second, segments."""

    now: float = 0.0
    rate: float = RATE
    segments: int = 0
    bounds: Bounds = field(default_factory=lambda: Bounds(downtime=60, lifetime=3600, threshold=16 * MIB, rounds=12))

    def pace(self) -> Pace:
        return Pace(self.bounds, 4 * MIB, lambda: self.rate, lambda: self.segments, lambda: self.now)

    def rounds(self, memory: int, *changed: int) -> list[bool]:
        """Whether there is another round after each of these."""
        pace = self.pace()
        return [pace.another_round(Left(one, memory), room=True) for one in changed]


def test_what_has_become_little_is_sent_in_the_stop() -> None:
    assert Transfer().rounds(GIB, 2 * GIB, 200 * MIB, 10 * MIB) == [True, True, False]


def test_rounds_that_help_no_more_end_when_the_rest_fits() -> None:
    assert Transfer().rounds(GIB, 2 * GIB, 2 * GIB) == [True, False]


def test_rounds_go_on_while_they_help_and_the_rest_does_not_fit() -> None:
    """5 % less is not worth a round if the guest can be stopped; as long as it cannot, it is."""
    with pytest.raises(ServerNotMovable) as caught:
        Transfer().rounds(GIB, 9 * GIB, 9 * GIB)
    assert caught.value.code == "cannot-finish-in-time"
    assert Transfer().rounds(GIB, 6 * GIB, int(5.7 * GIB), int(5.4 * GIB), int(4.5 * GIB), int(4.4 * GIB)) == [
        True,
        True,
        True,
        True,
        False,
    ]


def test_a_guest_that_writes_as_fast_as_it_is_sent_is_not_stopped() -> None:
    with pytest.raises(ServerNotMovable) as caught:
        Transfer(rate=10 * MIB).rounds(100 * MIB, 2 * GIB, 2 * GIB)
    assert caught.value.code == "cannot-finish-in-time"
    # Needed, allowed, and at which rate.
    for word in ("215 s", "60 s", "2048 MiB", "100 MiB of memory", "10.0 MiB/s"):
        assert word in caught.value.message
    assert "downtime_timeout" in caught.value.remedy


def test_no_round_makes_memory_less() -> None:
    """After the first round the rate is known: there is no second one for what can never fit."""
    transfer = Transfer()
    with pytest.raises(ServerNotMovable, match="256 s"):
        transfer.rounds(25 * GIB, 0)
    with pytest.raises(ServerNotMovable, match="and may for 60 s"):
        transfer.rounds(25 * GIB, GIB, GIB // 2, GIB // 4, 10 * MIB)


def test_the_offers_end_counts_too() -> None:
    transfer = Transfer(bounds=Bounds(downtime=600, lifetime=100, threshold=16 * MIB, rounds=12))
    pace = transfer.pace()
    transfer.now = 95.0
    assert not pace.fits(Left(0, GIB))
    with pytest.raises(ServerNotMovable, match="may for 5 s"):
        pace.another_round(Left(0, GIB), room=True)


def test_a_rate_that_is_not_known_stops_nobody() -> None:
    assert Transfer(rate=0.0).rounds(16 * GIB, 0) == [False]


@pytest.mark.parametrize("rounds", [1, 3])
def test_no_more_rounds_than_are_allowed(rounds: int) -> None:
    bounds = Bounds(downtime=60, lifetime=0, threshold=0, rounds=rounds)
    changed = [GIB >> n for n in range(rounds + 1)]
    assert Transfer(bounds=bounds).rounds(0, *changed) == [True] * rounds + [False]


def test_rounds_leave_segments_for_the_last_one_and_the_memory() -> None:
    """One more round of 256, at most 768 for what changes until the pause, and 256 of memory."""
    memory, changed = GIB, GIB
    assert Transfer(segments=MAX_SEGMENTS - 1500).rounds(memory, changed) == [True]
    assert Transfer(segments=MAX_SEGMENTS - 1100).rounds(memory, changed) == [False]
    with pytest.raises(ServerNotMovable) as caught:
        Transfer(segments=MAX_SEGMENTS - 900).rounds(memory, changed)
    assert caught.value.code == "too-many-segments"


def test_a_stream_without_room_has_no_further_round() -> None:
    assert not Transfer().pace().another_round(Left(GIB, 0), room=False)


def test_what_was_ready_and_has_written_much_since_is_so_no_more() -> None:
    transfer = Transfer()
    pace, accepted = transfer.pace(), Left(GIB, GIB)
    assert pace.still_fits(Left(GIB + MIB, GIB), accepted)
    assert not pace.still_fits(Left(3 * GIB, GIB), accepted)
    assert pace.still_fits(Left(10 * MIB, GIB), Left(0, GIB))
    transfer.rate = MIB
    assert not pace.still_fits(accepted, accepted)
    transfer.rate, transfer.segments = RATE, MAX_SEGMENTS - 900
    assert not pace.still_fits(accepted, accepted)
