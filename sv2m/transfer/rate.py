# SPDX-License-Identifier: Apache-2.0
"""A brake on bytes, and a measure of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

#: Seconds' worth of bytes that may be saved up and sent at once.
_BURST = 0.25
#: How many samples of a rate are kept, and what each has at least.
_SAMPLES, _SAMPLE_BYTES, _SAMPLE_SECONDS = 8, 4 << 20, 2.0


class TokenBucket:
    """A brake on bytes: so many per second, over any length of time.

    :param rate: bytes per second; 0 lets everything pass.
    :param clock: seconds that only grow.
    :param wait: waits so many seconds; returns True to give up (as Event.wait does).
    """

    def __init__(
        self,
        rate: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._wait = wait if wait is not None else threading.Event().wait
        self._full_at = clock()

    @property
    def piece(self) -> int:
        """Bytes that are best taken at once: a burst, but no less than 64 KiB and no more than 4 MiB."""
        rate = self._rate
        return 4 << 20 if not rate else min(4 << 20, max(64 << 10, int(rate * _BURST)))

    def release(self) -> None:
        """Let everything pass from now on."""
        self._rate = 0

    def take(self, count: int) -> None:
        """Wait until ``count`` more bytes may pass."""
        rate = self._rate
        if not rate:
            return
        # The bucket is full at some moment; every byte moves that moment on. It may lie at most in the future
        # by what is being waited for, and in the past by the burst.
        now = self._clock()
        self._full_at = max(self._full_at, now - _BURST) + count / rate
        if self._full_at > now:
            self._wait(self._full_at - now)


class Meter:
    """How fast bytes pass, lately: the best of the last few samples.

    The best, because a destination that has a stretch of zeros to write stores few bytes of ours for a while, and that
    says nothing of how fast it takes the memory.

    :param clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._since: float | None = None
        self._seconds = 0.0
        self._bytes = 0

    def begin(self) -> None:
        """From now on something is under way."""
        if self._since is None:
            self._since = self._clock()

    def pause(self) -> None:
        """Nothing is under way any more: this time does not count."""
        if self._since is not None:
            self._seconds += self._clock() - self._since
            self._since = None

    def take(self, count: int) -> None:
        """So many bytes have passed."""
        running = self._since is not None
        self.pause()
        self._bytes += count
        if self._bytes >= _SAMPLE_BYTES and self._seconds >= _SAMPLE_SECONDS:
            self._samples.append(self._bytes / self._seconds)
            self._bytes, self._seconds = 0, 0.0
        if running:
            self.begin()

    @property
    def rate(self) -> float:
        """Bytes per second; 0 where too few have passed to say."""
        if self._samples:
            return max(self._samples)
        return self._bytes / self._seconds if self._bytes >= _SAMPLE_BYTES and self._seconds else 0.0
