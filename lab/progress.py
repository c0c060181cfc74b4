# SPDX-License-Identifier: Apache-2.0
"""One line for everything that happens, with the seconds since the command began."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO


class Progress:
    """Prints lines from many threads; in long silences says what is still being waited for."""

    def __init__(self, stream: TextIO | None = None, silence: float = 5.0) -> None:
        self._stream = stream or sys.stdout
        self._silence = silence
        self._begin = self._last = time.monotonic()
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}

    def seconds(self) -> float:
        return time.monotonic() - self._begin

    def say(self, text: str) -> None:
        with self._lock:
            self._last = time.monotonic()
            print(f"[{self._last - self._begin:6.1f} s] {text}", file=self._stream, flush=True)

    def began(self, step: str) -> None:
        with self._lock:
            self._running[step] = time.monotonic()

    def ended(self, step: str, outcome: str = "done") -> None:
        with self._lock:
            seconds = time.monotonic() - self._running.pop(step)
        self.say(f"{step}: {outcome} ({seconds:.1f} s)")

    def tick(self) -> None:
        """Call it now and then: after a silence it names the steps under way."""
        with self._lock:
            quiet = time.monotonic() - self._last > self._silence
            names = list(self._running)
        if quiet and names:
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
            self.say(f"... {shown}")
