# SPDX-License-Identifier: Apache-2.0
"""A token bucket: so many bytes per second, over any length of time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds' worth of bytes that may be saved up and sent at once.
_BURST = 0.25


class TokenBucket:
    """A brake on bytes.

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
        return 4 << 20 if not self._rate else min(4 << 20, max(64 << 10, int(self._rate * _BURST)))

    def take(self, count: int) -> None:
        """Wait until ``count`` more bytes may pass."""
        if not self._rate:
            return
        # The bucket is full at some moment; every byte moves that moment on. It may lie at most in the future
        # by what is being waited for, and in the past by the burst.
        now = self._clock()
        self._full_at = max(self._full_at, now - _BURST) + count / self._rate
        if self._full_at > now:
            self._wait(self._full_at - now)
