# SPDX-License-Identifier: Apache-2.0
"""The opener of segments: only what was sealed, at the place for which it was sealed."""

from __future__ import annotations

import struct

from sv2m import errors
from sv2m.protocol.segments import OVERHEAD, Opener, Sealer, pack_frame, unpack_frame
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors

#: stream u32, index u64, and the segment.
_PLACE = struct.Struct("!IQ")
_PLAINTEXT = {(1, 0): b"memory", (1, 1): b"x", (2, 0): bytes(300)}


def check(data: bytes) -> None:
    if len(data) < _PLACE.size:
        return
    stream, index = _PLACE.unpack_from(data)
    segment = data[_PLACE.size :]
    try:
        frame = unpack_frame(pack_frame(stream, index, len(segment)), 4096)
        promise(
            (frame.stream, frame.index) == (stream, index) and 1 <= len(segment) - OVERHEAD <= 4096, "out of bounds"
        )
    except errors.MalformedMessage:
        pass
    out = bytearray(b"\xaa" * max(len(segment) - OVERHEAD, 1))
    try:
        length, _ = Opener(vectors.vmk()).open(stream, index, segment, out)
    except errors.IntegrityError:
        untouched = not any(out) or out == b"\xaa" * len(out)
        promise(untouched, "bytes that were not verified were left to be used")
        return
    promise(_PLAINTEXT.get((stream, index)) == out[:length], "this was never sealed for this place")


def _sealed() -> tuple[bytes, ...]:
    sealer = Sealer(vectors.vmk())
    found = []
    for (stream, index), plaintext in _PLAINTEXT.items():
        out = bytearray(len(plaintext) + OVERHEAD)
        sealer.seal(stream, index, plaintext, out)
        found.append(_PLACE.pack(stream, index) + bytes(out))
    return tuple(found)


def _split(data: bytes) -> list[bytes]:
    return [data[:4], data[4:12], data[12:16], data[16:24], data[24:-16], data[-16:]]


def make() -> Target:
    seeds = _sealed()
    return Target(
        "protocol.Opener, unpack_frame: segments",
        check,
        seeds,
        ("sv2m.protocol",),
        pieces.mutator(_split, seeds, 4),
        max_bytes=2 << 10,
    )
