# SPDX-License-Identifier: Apache-2.0
"""When a guest may be stopped: not before what is left of it can be sent in the time for which it may stand still."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sv2m.errors import ServerNotMovable
from sv2m.protocol.plan import MAX_SEGMENTS, segments_of

#: What a guest may write, beside as much again as it has, from the last look to its pause: bytes.
_MARGIN = 1 << 30
#: A round that leaves more than this part of what the one before left only costs: the guest writes as fast as we send.
_WORTH_IT = 0.9


@dataclass(frozen=True)
class Left:
    """What would be sent while the guest stands still: bytes of its disks and, about, of its memory."""

    changed: int
    memory: int


@dataclass(frozen=True)
class Bounds:
    """What a source is held to.

    :param downtime: seconds for which the guest may stand still; 0 for any time.
    :param lifetime: seconds from now until the offer ends; 0 for any time.
    :param threshold: bytes of changes that no further round is worth.
    :param rounds: rounds over changed blocks at most.
    """

    downtime: float
    lifetime: float
    threshold: int
    rounds: int


class Pace:
    """Decides after each round whether there is another, whether the guest may be stopped, or that neither will do.

    :param rate: bytes per second that the destination has stored lately; 0 where that is not known.
    :param segments: how many segments were sealed so far.
    """

    def __init__(
        self,
        bounds: Bounds,
        segment_size: int,
        rate: Callable[[], float],
        segments: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = bounds
        self._segment_size = segment_size
        self._rate = rate
        self._segments = segments
        self._clock = clock
        self._ends = clock() + bounds.lifetime if bounds.lifetime else None
        self.begin()

    def begin(self) -> None:
        """The rounds are counted anew."""
        self._rounds = 0
        self._former: int | None = None

    def another_round(self, left: Left, room: bool) -> bool:
        """After a round, and everything that was sent is stored: whether to make another one.

        :param room: whether each disk's stream may have another round, and the last one, for all that it bounds.
        :returns: False when the guest may be stopped now.
        :raises ServerNotMovable: it may not, and no further round would help.
        """
        shrinks = self._former is None or left.changed < self._former
        worth_it = self._former is None or left.changed <= self._former * _WORTH_IT
        possible = room and self._rounds < self._bounds.rounds and self._has_room(left, rounds=1)
        self._former, self._rounds = left.changed, self._rounds + 1
        if left.changed <= self._bounds.threshold or not worth_it or not possible:
            if self.fits(left):
                self._check_room(left)
                return False
            # Less of the disks helps only where the memory alone would fit.
            memory = Left(0, left.memory)
            if not (possible and shrinks and left.changed > self._bounds.threshold and self.fits(memory)):
                raise self._does_not_fit(left)
        return True

    def still_fits(self, left: Left, accepted: Left) -> bool:
        """Whether a guest that might be stopped with so much left may be yet, some time later."""
        grown = left.changed > max(self._bounds.threshold, 2 * accepted.changed)
        return not grown and self.fits(left) and self._has_room(left, rounds=0)

    def fits(self, left: Left) -> bool:
        """Whether it can be sent in the time there is, as fast as it went lately."""
        return self._needed(left) <= self._allowed()

    def _needed(self, left: Left) -> float:
        rate = self._rate()
        return (left.changed + left.memory) / rate if rate else 0.0

    def _allowed(self) -> float:
        downtime = self._bounds.downtime or float("inf")
        return min(downtime, self._ends - self._clock()) if self._ends is not None else downtime

    def _has_room(self, left: Left, rounds: int) -> bool:
        """Whether the migration has segments for so many rounds over what has changed, the last one and the memory."""
        last = Left(2 * left.changed + min(left.changed, _MARGIN), left.memory)
        needed = rounds * self._count(left.changed) + self._count(last.changed) + self._count(left.memory)
        return self._segments() + needed <= MAX_SEGMENTS

    def _count(self, length: int) -> int:
        return segments_of(length, self._segment_size) + 1

    def _check_room(self, left: Left) -> None:
        if not self._has_room(left, rounds=0):
            raise ServerNotMovable(
                f"{self._segments()} segments were sent, and what is left is more than the rest of {MAX_SEGMENTS}",
                code="too-many-segments",
                remedy="The server writes to its disks faster than they can be sent; try again when it is calm.",
            )

    def _does_not_fit(self, left: Left) -> ServerNotMovable:
        return ServerNotMovable(
            f"the guest would stand for {self._needed(left):.0f} s, and may for {max(0, self._allowed()):.0f} s; "
            f"{left.changed >> 20} MiB of its disks and {left.memory >> 20} MiB of memory are left, and "
            f"{self._rate() / (1 << 20):.1f} MiB/s were stored by the destination lately",
            code="cannot-finish-in-time",
            remedy="Migrate it while it is quieter, or over a faster network; or raise [engine] rate_limit and [agent] "
            "rate_limit_mib, downtime_timeout, or offer_lifetime.",
        )
