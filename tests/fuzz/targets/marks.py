# SPDX-License-Identifier: Apache-2.0
"""A's end of the data channel: B's welcome and marks."""

from __future__ import annotations

from typing import Any

from sv2m.errors import MalformedMessage, PeerError
from sv2m.protocol.segments import FRAME
from sv2m.transfer import wire
from sv2m.transfer.window import Window
from sv2m.transfer.wire import GIVEN_UP, NOTHING_YET, Mark
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise
from tests.fuzz.targets.sockets import FakeSocket

_MARKS = [Mark(1, 0), Mark(1, 1), Mark(2, 0), Mark(2, 1)]
_WELCOME = 6


def check(data: bytes) -> None:
    window = Window(16, len(_MARKS))
    for mark in _MARKS:
        window.buffer()
        window.submit(mark, 8)
    sock: Any = FakeSocket(data)
    confirmed = 0
    try:
        window.rewind(wire.read_welcome(sock))
        for number in range(64):
            if number < 3 and window._waiting:
                window.next(lambda: False)
            mark = wire.read_mark(sock)
            window.confirm(mark)
            promise(mark in _MARKS[confirmed:], "a segment was confirmed that was not waiting")
            confirmed = _MARKS.index(mark) + 1
    except (MalformedMessage, PeerError, OSError):
        pass
    waiting = [sealed.mark for sealed in window._waiting]
    promise(waiting == _MARKS[len(_MARKS) - len(waiting) :], "what waits is not what was not confirmed")
    promise(len(window._free) + len(waiting) == len(_MARKS), "a buffer was lost or is there twice")
    promise(0 <= window._sent <= len(waiting), "more was sent than there is")


def _split(data: bytes) -> list[bytes]:
    rest = data[_WELCOME:]
    return [data[:_WELCOME], *(rest[place : place + FRAME.size] for place in range(0, len(rest), FRAME.size))]


def make() -> Target:
    begin = wire.welcome(Mark(NOTHING_YET, 0))
    end = Mark(GIVEN_UP, 0).encode()
    all_marks = b"".join(mark.encode() for mark in _MARKS)
    seeds = (begin + all_marks, wire.welcome(_MARKS[1]) + all_marks[32:], begin + all_marks[:16] + end)
    return Target(
        "transfer.wire, Window: welcome and marks",
        check,
        seeds,
        ("sv2m.transfer",),
        pieces.mutator(_split, seeds, FRAME.size),
        max_bytes=1 << 10,
    )
