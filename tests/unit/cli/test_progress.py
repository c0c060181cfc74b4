# SPDX-License-Identifier: Apache-2.0
"""What a person sees while he waits."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
from typing import Any

import pytest

from sv2m.cli.phases import SENTENCES
from sv2m.cli.progress import Progress, line, size
from sv2m.protocol import states
from sv2m.sdk.migration import Migration


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def look(phase: str, done: int = 0, total: int = 0, rate: int = 0, status: str = "running") -> Migration:
    values: dict[str, Any] = {"phase": phase, "bytes_done": done, "bytes_total": total, "rate": rate}
    values |= {"bytes_sent": done // 2, "average_rate": rate}
    return Migration(id="m", status=status, **values)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 30, "3.0 GiB"),
        (2 << 40, "2.0 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_a_line_says_phase_bytes_and_rate() -> None:
    assert line(look("offered")) == "offered       the two clouds authenticate each other"
    shown = line(look("transferring", 1 << 20, 4 << 20, 512 << 10))
    for part in ("transferring", "[######", " 25 %", "1.0 MiB of 4.0 MiB", "sent 512.0 KiB", "512.0 KiB/s"):
        assert part in shown


def test_more_than_everything_is_everything() -> None:
    assert "100 %" in line(look("transferring", 9, 4))


def test_terminal_draws_over_the_phase_and_keeps_it() -> None:
    stream = Terminal()
    progress = Progress(stream)
    for done in (1, 2):
        progress(look("transferring", done, 4))
    progress(look("closed", 4, 4, status="completed"))
    lines = stream.getvalue().split("\n")
    assert lines[0].count("\r") == 2
    assert "50 %" in lines[0]
    assert lines[1].startswith("closed")
    assert lines[2] == ""


def test_a_shorter_line_wipes_the_longer_one() -> None:
    stream = Terminal()
    progress = Progress(stream)
    progress(look("transferring", 1, 4, 1 << 20))
    progress(look("transferring", 1, 4))
    first, second = stream.getvalue().split("\r")[1:]
    assert len(second) >= len(first)


def test_lines_come_with_the_phase_and_now_and_then() -> None:
    now = [0.0]
    stream = io.StringIO()
    progress = Progress(stream, clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 9.0, 10.0, 11.0):
        progress(look("transferring", int(now[0]), 100))
    progress(look("closed", 100, 100, status="completed"))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "\r" not in stream.getvalue()


def rows(written: str, columns: int) -> list[str]:
    """The rows of a terminal of this width after all this was written to it."""
    screen, row, column = [""], 0, 0
    for one in written:
        if one == "\r":
            column = 0
        elif one == "\n":
            row, column = row + 1, 0
            screen.append("")
        else:
            if column == columns:
                row, column = row + 1, 0
                screen.append("")
            screen[row] = screen[row][:column].ljust(column) + one + screen[row][column + 1 :]
            column += 1
    return [text.rstrip() for text in screen]


@pytest.mark.parametrize("columns", [200, 80, 60, 40, 12, 1])
def test_a_terminal_of_any_width_has_one_row_for_a_phase(columns: int) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        progress = Progress(stream)
        progress(look("offered"))
        for done in range(1, 100, 7):
            progress(look("transferring", done << 30, 100 << 30, done << 20))
        progress(look("closed", 100 << 30, 100 << 30, 1 << 20, status="completed"))
        written = b""
        while b"\n" not in written or written.count(b"\n") < 3:
            written += os.read(ours, 65536)
    os.close(ours)
    # The terminal's driver writes \r\n for \n.
    shown = rows(written.decode().replace("\r\n", "\n"), columns)
    assert len(shown) == 4
    assert [text[:6] for text in shown[:3]] == [text[: min(6, columns - 1)] for text in ("offered", "transf", "closed")]
    assert columns < 40 or " 99 %" in shown[1]


def test_every_phase_of_a_source_has_a_sentence() -> None:
    assert sorted(SENTENCES) == sorted(states.SOURCE)
