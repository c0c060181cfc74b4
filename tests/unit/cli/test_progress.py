# SPDX-License-Identifier: Apache-2.0
"""What a person sees while he waits."""

from __future__ import annotations

import io
from typing import Any

import pytest

from sv2m.cli.progress import Progress, line, size
from sv2m.sdk.migration import Migration


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def look(phase: str, done: int = 0, total: int = 0, rate: int = 0, status: str = "running") -> Migration:
    values: dict[str, Any] = {"phase": phase, "bytes_done": done, "bytes_total": total, "rate": rate}
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
    assert line(look("offered")).strip() == "offered"
    shown = line(look("transferring", 1 << 20, 4 << 20, 512 << 10))
    for part in ("transferring", "[######", " 25 %", "1.0 MiB of 4.0 MiB", "512.0 KiB/s"):
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
