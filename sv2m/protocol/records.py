# SPDX-License-Identifier: Apache-2.0
"""The records inside a disk stream: what to write where. Replaying them in order into an empty image gives
the disk.

A record is kind u8, offset u64, length u64 (big-endian, bytes of the guest-visible disk) and, for kind data,
so many bytes. Records ignore the borders of segments. Where the log ends is not said in the log: the signed
manifest and the Transfer say how long it is, so that cutting it at a record's border is found as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sv2m import errors
from sv2m.protocol import fields as check
from sv2m.protocol.needs import MAX_DISK_BYTES

HEADER: Final = struct.Struct("!BQQ")
_DATA: Final = 1
_ZERO: Final = 2


@dataclass(frozen=True)
class Data:
    """Bytes to be written at an offset; a piece of a record, valid until the next feed()."""

    offset: int
    content: memoryview


@dataclass(frozen=True)
class Zero:
    """So many bytes from an offset are zero."""

    offset: int
    length: int


def data_header(offset: int, length: int) -> bytes:
    """What goes before length bytes of content for an offset."""
    return _header(_DATA, offset, length)


def zero_record(offset: int, length: int) -> bytes:
    """A whole record: length bytes from offset are zero."""
    return _header(_ZERO, offset, length)


def _header(kind: int, offset: int, length: int) -> bytes:
    check.whole("record offset", offset, 0, MAX_DISK_BYTES - 1)
    check.whole("record length", length, 1, MAX_DISK_BYTES - offset)
    return HEADER.pack(kind, offset, length)


class RecordReader:
    """Reads a log in pieces of any size, and hands out only what lies inside the disk.

    :param size: bytes of the guest-visible disk, from the verified Envelope's offer.
    """

    def __init__(self, size: int) -> None:
        check.whole("disk size", size, 1, MAX_DISK_BYTES)
        self._size = size
        self._header = bytearray()
        self._offset = 0
        self._left = 0

    def feed(self, content: memoryview | bytes) -> Iterator[Data | Zero]:
        """Read the next piece of the log; content is not copied.

        Consume the iterator to its end before the next call.

        :raises MalformedMessage: no record, or one that reaches beyond the disk.
        """
        view = memoryview(content)
        while view:
            if self._left:
                piece = view[: self._left]
                yield Data(self._offset, piece)
                self._offset += len(piece)
                self._left -= len(piece)
                view = view[len(piece) :]
                continue
            missing = HEADER.size - len(self._header)
            self._header += view[:missing]
            view = view[missing:]
            if len(self._header) == HEADER.size:
                zero = self._begin()
                if zero is not None:
                    yield zero

    def _begin(self) -> Zero | None:
        kind, offset, length = HEADER.unpack(self._header)
        self._header.clear()
        # Python's integers do not wrap, so the sum is safe to compare whatever the two are.
        if length < 1 or offset + length > self._size:
            raise errors.MalformedMessage("a disk record is empty or reaches beyond the end of the disk")
        if kind == _ZERO:
            return Zero(offset, length)
        if kind != _DATA:
            raise errors.MalformedMessage("a disk record is neither data nor zero")
        self._offset, self._left = offset, length
        return None

    def finish(self) -> None:
        """The log is at its end.

        :raises MalformedMessage: in the middle of a record.
        """
        if self._left or self._header:
            raise errors.MalformedMessage("the disk's log ends in the middle of a record")
