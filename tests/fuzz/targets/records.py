# SPDX-License-Identifier: Apache-2.0
"""The reader of disk records: nothing outside of the disk, whatever the pieces in which the log comes."""

from __future__ import annotations

from sv2m import errors
from sv2m.protocol.records import HEADER, Data, RecordReader, data_header, zero_record
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise

SIZE = 1 << 16


def check(data: bytes) -> None:
    """The first byte says how long the pieces are in which the rest is fed."""
    if not data:
        return
    whole, cut = _replay(data[1:], len(data)), _replay(data[1:], data[0] + 1)
    promise(whole == cut, "how the log is cut makes a difference")


def _replay(log: bytes, piece: int) -> tuple[bytes, str]:
    disk = bytearray(b"\xaa" * SIZE)
    reader = RecordReader(SIZE)
    end = "end"
    try:
        for start in range(0, len(log), piece):
            for record in reader.feed(log[start : start + piece]):
                length = len(record.content) if isinstance(record, Data) else record.length
                promise(record.offset >= 0 and length >= 1 and record.offset + length <= SIZE, "outside of the disk")
                disk[record.offset : record.offset + length] = (
                    record.content if isinstance(record, Data) else bytes(length)
                )
        reader.finish()
    except errors.MalformedMessage as error:
        end = error.message
    return bytes(disk), end


def _split(data: bytes) -> list[bytes]:
    parts, place = [data[:1]], 1
    while place < len(data):
        header = data[place : place + HEADER.size]
        length = HEADER.size
        if len(header) == HEADER.size and header[0] == 1:
            length += min(HEADER.unpack(header)[2], 4096)
        parts.append(data[place : place + length])
        place += length
    return parts


def make() -> Target:
    good = (
        data_header(0, 5) + b"hello" + zero_record(5, 4091) + data_header(SIZE - 3, 3) + b"end" + zero_record(0, SIZE)
    )
    seeds = (b"\xff" + good, b"\x00" + good, b"\x10" + data_header(100, 300) + bytes(300))
    return Target(
        "protocol.RecordReader: disk records",
        check,
        seeds,
        ("sv2m.protocol.records",),
        pieces.mutator(_split, seeds, HEADER.size),
        max_bytes=2 << 10,
    )
