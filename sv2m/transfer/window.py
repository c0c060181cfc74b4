# SPDX-License-Identifier: Apache-2.0
"""Sealed segments that the destination has not confirmed yet, in a bounded set of reused buffers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sv2m.errors import PeerError, SV2MError
from sv2m.transfer.rate import Meter
from sv2m.transfer.wire import NOTHING_YET, Mark


@dataclass(frozen=True)
class Sealed:
    """A segment in the window; ``content`` must not change until it is confirmed."""

    mark: Mark
    content: memoryview
    buffer: bytearray


class Window:
    """Between the thread that seals and the one that sends; every method may be called from any thread.

    :param segment_bytes: size of a buffer: the largest sealed segment, in bytes.
    :param count: number of buffers; memory is bounded by their product.
    :param failed: called when nothing can be sent any more, for whoever waits for something else.
    :param clock: seconds that only grow.
    """

    def __init__(
        self,
        segment_bytes: int,
        count: int,
        failed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_failure = failed
        self._clock = clock
        self._meter = Meter(clock)
        self._segment_bytes = segment_bytes
        self._condition = threading.Condition()
        # Made when first needed, then used again: fresh pages are what makes sealing slow.
        self._free: list[bytearray | None] = [None] * count
        self._held: bytearray | None = None
        self._waiting: deque[Sealed] = deque()
        self._sent = 0
        self._confirmed = Mark(NOTHING_YET, 0)
        self._error: SV2MError | None = None
        #: When something last moved at all; when the destination last said something; when it last confirmed something.
        self._moved_at = self._answered_at = self._confirmed_at = clock()

    def buffer(self) -> bytearray:
        """Room for one sealed segment; waits until there is some. Submit it before the next is taken.

        :raises SV2MError: why nothing is sent any more.
        """
        with self._condition:
            if self._held is None:
                self._condition.wait_for(lambda: bool(self._free) or self._error is not None)
                self._raise()
                # Taken out at once: a confirmation may put another one where this was.
                self._held = self._free.pop() or bytearray(self._segment_bytes)
            return self._held

    def submit(self, mark: Mark, length: int) -> None:
        """The first ``length`` bytes of what :meth:`buffer` gave are a sealed segment."""
        with self._condition:
            self._raise()
            room, self._held = self._held, None
            if room is None:
                raise ValueError("submit without buffer")
            if not self._waiting:
                # Until now the destination had nothing to answer.
                self._confirmed_at = self._answered_at = self._moved_at = self._clock()
            self._meter.begin()
            self._waiting.append(Sealed(mark, memoryview(room)[:length], room))
            self._condition.notify_all()

    def next(self, broken: Callable[[], bool]) -> Sealed | None:
        """The next segment to put on the connection, None when that is broken; waits for one of them.

        :raises SV2MError: there will be none any more.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._sent < len(self._waiting) or self._error is not None or broken())
            self._raise()
            if broken():
                return None
            # Counted before it is sent: its confirmation may come before the send call returns.
            self._sent += 1
            return self._waiting[self._sent - 1]

    def wake(self) -> None:
        """Let :meth:`next` look again whether its connection is broken."""
        with self._condition:
            self._condition.notify_all()

    def confirm(self, mark: Mark) -> None:
        """The destination has this segment and all sent before it. :raises PeerError: it cannot have it."""
        with self._condition:
            self._confirm(mark, self._sent)

    def rewind(self, mark: Mark) -> None:
        """A new connection: everything after ``mark`` is sent again. :raises PeerError: it cannot be."""
        with self._condition:
            if mark != self._confirmed:
                self._confirm(mark, len(self._waiting))
            self._sent = 0

    def flush(self) -> None:
        """Wait until everything is confirmed. :raises SV2MError: it will not be."""
        with self._condition:
            self._condition.wait_for(lambda: not self._waiting or self._error is not None)
            self._raise()

    def fail(self, error: SV2MError) -> None:
        """Nothing is sent any more; whoever waits gets the error. The first one stays."""
        with self._condition:
            if self._error is None:
                self._error = error
            self._waiting.clear()
            self._free.clear()
            self._sent = 0
            self._condition.notify_all()
        self._on_failure()

    def moved(self) -> None:
        """The network has taken some bytes."""
        with self._condition:
            self._moved_at = self._clock()

    def answered(self) -> None:
        """The destination gave a sign of life."""
        with self._condition:
            self._answered_at = self._moved_at = self._clock()

    @property
    def still(self) -> float:
        """Seconds for which nothing has moved, neither out nor in; 0 where nothing waits to be confirmed."""
        return self._since(self._moved_at)

    @property
    def unanswered(self) -> float:
        """Seconds without a sign of life of the destination; 0 where nothing waits to be confirmed."""
        return self._since(self._answered_at)

    @property
    def unconfirmed(self) -> float:
        """Seconds without a confirmed segment; 0 where nothing waits to be confirmed."""
        return self._since(self._confirmed_at)

    def _since(self, moment: float) -> float:
        with self._condition:
            return self._clock() - moment if self._waiting else 0.0

    @property
    def rate(self) -> float:
        """Bytes per second that the destination has confirmed lately, while there were any; 0 for not known."""
        with self._condition:
            return self._meter.rate

    def check(self) -> None:
        """:raises SV2MError: why nothing is sent any more."""
        with self._condition:
            self._raise()

    @property
    def failed(self) -> bool:
        """Whether :meth:`fail` was called."""
        with self._condition:
            return self._error is not None

    def _confirm(self, mark: Mark, among: int) -> None:
        for position in range(among):
            if self._waiting[position].mark == mark:
                break
        else:
            raise PeerError("the destination confirmed a segment that it was not sent, or confirmed it twice")
        for _ in range(position + 1):
            stored = self._waiting.popleft()
            self._meter.take(len(stored.content))
            self._free.append(stored.buffer)
        if not self._waiting:
            self._meter.pause()
        self._sent = max(0, self._sent - position - 1)
        self._confirmed = mark
        self._confirmed_at = self._answered_at = self._moved_at = self._clock()
        self._condition.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
