# SPDX-License-Identifier: Apache-2.0
"""How far a migration has come: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from sv2m.sdk.migration import Migration

_BAR = 24
#: Where it is no terminal, a line per phase, and in a long phase one every so many seconds.
_QUIET = 10.0


def size(count: float) -> str:
    """Bytes for a human: ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def line(migration: Migration) -> str:
    """Phase, and while there are bytes to tell of, how many and how fast."""
    parts = [f"{migration.phase:<14}"]
    total = migration.bytes_total or 0
    if total:
        done = min(migration.bytes_done or 0, total)
        filled = _BAR * done // total
        parts.append(f"[{'#' * filled}{'.' * (_BAR - filled)}]")
        parts.append(f"{100 * done // total:3d} %  {size(done)} of {size(total)}")
        if not migration.is_final and migration.rate:
            parts.append(f"{size(migration.rate)}/s")
    return "  ".join(parts)


class Progress:
    """Shows each look at a migration.

    :param stream: where to; decides between bar and lines.
    :param clock: seconds, for the lines of a long phase.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._phase: str | None = None
        self._told = 0.0
        self._width = 0

    def __call__(self, migration: Migration) -> None:
        """Show it."""
        text = line(migration)
        changed = migration.phase != self._phase
        if self._terminal:
            # A finished phase keeps its line; the present one is drawn over.
            start = "\n" if changed and self._phase is not None else "\r"
            self._stream.write(start + text.ljust(self._width if not changed else 0))
            self._width = len(text)
            if migration.is_final:
                self._stream.write("\n")
        elif changed or migration.is_final or self._clock() - self._told >= _QUIET:
            self._stream.write(text.rstrip() + "\n")
            self._told = self._clock()
        self._stream.flush()
        self._phase = migration.phase
