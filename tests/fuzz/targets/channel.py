# SPDX-License-Identifier: Apache-2.0
"""B's data endpoint: hello, frames and segments of several connections, one after the other.

Connections are divided by a mark in the input. Whatever comes, only what was sealed is stored, in its order.
"""

from __future__ import annotations

from typing import Any

from sv2m.errors import SV2MError
from sv2m.protocol.segments import FRAME, OVERHEAD, Opener, Sealer, pack_frame, ticket
from sv2m.transfer import wire
from sv2m.transfer.receiver import Receiver
from sv2m.transfer.session import Session, StreamLimits
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors
from tests.fuzz.targets.sockets import FakeSocket

_NEXT = b"|next connection|"
_HELLO = 4 + 2 + 16 + 4 + 32
_SEGMENT, _SEGMENTS = 256, 3
_SID = bytes(range(48))
_ID: str = "6f1c1a9e-3c6e-4d52-9d5f-0a4a2e6f7b11"
#: More than the plan allows stream 2: somebody must stop it.
_PLAINTEXT = {1: [b"a" * 256, b"b" * 10], 2: [b"c" * 256, b"d" * 256, b"e" * 256, b"f"], 3: [b"no such stream"]}


class _Sink:
    def __init__(self) -> None:
        self.stored: dict[int, list[bytes]] = {}
        self.error: SV2MError | None = None

    def consume(self, stream: int, index: int, plaintext: memoryview, digest: bytes) -> None:
        promise(self.error is None, "something came after the end")
        before = self.stored.setdefault(stream, [])
        promise(index == len(before), "a segment was left out or came twice")
        promise(bytes(plaintext) == _PLAINTEXT[stream][index], "this was never sealed")
        before.append(bytes(plaintext))

    def quiet(self) -> None:
        promise(False, "a socket that never waits has no quiet time")

    def failed(self, error: SV2MError) -> None:
        promise(self.error is None, "failed twice")
        promise(error.fault == "peer", f"the peer's bytes made an error of ours: {error!r}")
        self.error = error


def check(data: bytes) -> None:
    sink = _Sink()
    receiver = Receiver(("127.0.0.1", 0))
    limits = {stream: StreamLimits(_SEGMENT, _SEGMENTS) for stream in (1, 2)}
    receiver.expect(Session(_ID, Opener(vectors.vmk()), _ticket, limits, sink))
    used: set[bytes] = set()
    for content in data.split(_NEXT)[:8]:
        sock: Any = FakeSocket(content)
        before = sum(map(len, sink.stored.values()))
        receiver._talk(sock, ("192.0.2.1", 1))
        hello = content[:_HELLO]
        if sum(map(len, sink.stored.values())) > before:
            promise(hello not in used, "a ticket was used twice")
        used.add(hello)
    for stream, parts in sink.stored.items():
        promise(stream in limits and len(parts) <= _SEGMENTS, "more was stored than planned")
    receiver.forget(_ID)


def _ticket(connection: int) -> bytes:
    return ticket(vectors.vmk(), _SID, _ID, connection)


def _frames() -> list[bytes]:
    sealer = Sealer(vectors.vmk())
    found = []
    for stream, parts in _PLAINTEXT.items():
        for index, plaintext in enumerate(parts):
            out = bytearray(len(plaintext) + OVERHEAD)
            sealer.seal(stream, index, plaintext, out)
            found.append(pack_frame(stream, index, len(out)) + bytes(out))
    return found


def _split(data: bytes) -> list[bytes]:
    parts: list[bytes] = []
    for number, content in enumerate(data.split(_NEXT)):
        parts += [_NEXT] * bool(number) + [content[:_HELLO]]
        place = _HELLO
        while place < len(content):
            header = content[place : place + FRAME.size]
            length = FRAME.unpack(header)[2] if len(header) == FRAME.size else 0
            parts.append(content[place : place + FRAME.size + min(length, 4096)])
            place += len(parts[-1])
    return parts


def make() -> Target:
    frames = _frames()
    hello = [wire.Hello(_ID, number, _ticket(number)).encode() for number in range(5)]
    seeds = (
        hello[1] + b"".join(frames[:4]),
        hello[1] + frames[0] + _NEXT + hello[2] + frames[1] + frames[2] + _NEXT + hello[4] + frames[3] + frames[4],
        hello[1] + b"".join(frames[:2]) + frames[6],
        hello[3] + frames[0] + _NEXT + hello[3] + frames[1],
    )
    return Target(
        "transfer.Receiver, Session: data connections",
        check,
        seeds,
        ("sv2m.transfer", "sv2m.protocol"),
        pieces.mutator(_split, seeds, FRAME.size),
        max_bytes=8 << 10,
    )
