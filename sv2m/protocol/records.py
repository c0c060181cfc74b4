# SPDX-License-Identifier: Apache-2.0
"""The records inside a disk stream: what to write where. Replaying them in order into an empty image gives
the disk.

A record is kind u8, offset u64, length u64 (big-endian, bytes of the guest-visible disk) and, for kind data,
so many bytes. Records ignore the borders of segments. Where the log ends is not said in the log: the signed
manifest and the Transfer say how long it is, so that cutting it at a record's border is found as well.

Few bytes of a log may mean much to do: 17 of them may make a disk's whole length zero, and an encrypted disk has to
write every one of these zeros. So it is the work that is bounded: of one segment, since B confirms what is done and A
waits for that, and of the whole log.
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
#: Bytes of zeros that a segment may stand for, whatever the disk: seconds of writing, on an encrypted one.
_ZEROS: Final = 1 << 30
#: Into how many segments of nothing but zeros a large disk is cut at least.
_ZERO_SEGMENTS: Final = 1024
#: As how many bytes the shortest record counts: a block is read and written for a single byte of it.
_LEAST: Final = 4096


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


def zeros_of_a_segment(size: int) -> int:
    """Bytes of zeros that the records of one segment may make in all, on a disk of ``size`` bytes."""
    return max(_ZEROS, -(-size // _ZERO_SEGMENTS))


def work_of(length: int) -> int:
    """What a record of ``length`` bytes, data or zeros, counts for in :func:`most_work`."""
    return max(length, _LEAST)


def most_work(size: int) -> int:
    """What all records of a disk's log may count for: its content, and thrice that in rounds over what changed."""
    return 4 * size + (256 << 20)


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
    """Reads a log segment by segment, and hands out only what lies inside the disk and is not too much.

    :param size: bytes of the guest-visible disk, from the verified Envelope's offer.
    """

    def __init__(self, size: int) -> None:
        check.whole("disk size", size, 1, MAX_DISK_BYTES)
        self._size = size
        self._header = bytearray()
        self._offset = 0
        self._left = 0
        self._work = most_work(size)
        self._zeros = 0

    def feed(self, content: memoryview | bytes) -> Iterator[Data | Zero]:
        """Read the log's next segment, of any size; content is not copied.

        Consume the iterator to its end before the next call.

        :raises MalformedMessage: no record, or one that reaches beyond the disk.
        :raises PeerError: code more-than-planned: too many zeros for one segment, or too much for one disk.
        """
        view = memoryview(content)
        self._zeros = zeros_of_a_segment(self._size)
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
        self._work -= work_of(length)
        if self._work < 0:
            raise errors.PeerError("a disk is written more often than planned", code="more-than-planned")
        if kind == _ZERO:
            self._zeros -= length
            if self._zeros < 0:
                raise errors.PeerError("a segment stands for more zeros than one may", code="more-than-planned")
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
