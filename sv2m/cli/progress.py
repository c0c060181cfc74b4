# SPDX-License-Identifier: Apache-2.0
"""How far a migration has come: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from sv2m.cli.phases import SENTENCES
from sv2m.sdk.migration import Migration

_BAR = 24
#: Columns, where nobody can be asked.
_COLUMNS = 80
#: Where it is no terminal, a line per phase, and in a long phase one every so many seconds.
_QUIET = 10.0


def size(count: float) -> str:
    """Bytes for a human: ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def line(migration: Migration, width: int | None = None) -> str:
    """Phase and what it means, or, while there are bytes to tell of, how many were dealt with, and sent.

    :param width: columns that there are; None: any number. What matters less is left out first.
    """
    forms = list(_forms(migration))
    if width is None:
        return forms[0]
    return next((form for form in forms if len(form) <= width), forms[-1][: max(0, width)])


def _forms(migration: Migration) -> Iterator[str]:
    """The line, longest first."""
    phase = str(migration.phase)
    total = migration.bytes_total or 0
    if not total or not (migration.bytes_done or migration.bytes_sent):
        if phase in SENTENCES:
            yield f"{phase:<14}{SENTENCES[phase]}"
        yield phase
        return
    done = min(migration.bytes_done or 0, total)
    filled = _BAR * done // total
    bar = f"[{'#' * filled}{'.' * (_BAR - filled)}]"
    percent = f"{100 * done // total:3d} %"
    amount = f"{size(done)} of {size(total)}"
    sent = f"sent {size(migration.bytes_sent or 0)}"
    rate = migration.average_rate if migration.is_final else migration.rate
    fast = f"{size(rate)}/s" if rate else ""
    for parts in (
        (bar, percent, amount, sent, fast),
        (bar, percent, sent, fast),
        (percent, sent, fast),
        (percent, fast),
        (percent,),
    ):
        yield "  ".join([f"{phase:<12}", *(part for part in parts if part)])


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
        changed = migration.phase != self._phase
        if self._terminal:
            self._draw(migration, changed)
        elif changed or migration.is_final or self._clock() - self._told >= _QUIET:
            self._stream.write(line(migration).rstrip() + "\n")
            self._told = self._clock()
        self._stream.flush()
        self._phase = migration.phase

    def _draw(self, migration: Migration, changed: bool) -> None:
        # The last column stays free: a character there may move the cursor to the next row, where \r finds nothing.
        columns = self._columns() - 1
        text = line(migration, columns)
        # A finished phase keeps its line; the present one is drawn over.
        start = "\n" if changed and self._phase is not None else "\r"
        self._stream.write(start + text.ljust(min(self._width, columns) if not changed else 0))
        self._width = len(text)
        if migration.is_final:
            self._stream.write("\n")

    def _columns(self) -> int:
        """Asked each time: the window may become narrower."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS
        except (OSError, ValueError):
            return _COLUMNS
