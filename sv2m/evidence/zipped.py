# SPDX-License-Identifier: Apache-2.0
"""The one form of zip file that evidence has: written here, and read only as it is written here.

The format leaves room for an archive that is one thing to one program and another to the next: names that stand
elsewhere once more (as in the extra field 0x7075), entries that the directory does not name, links and devices, sizes
that only one of two headers says. Whoever has made a zip file may have made it for that. So nothing is searched for:
the headers are those that :func:`pack` writes, one after the other from the first byte to the last, and only names,
times, checksums and sizes are taken from them. Section numbers are APPNOTE.TXT's.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sv2m import errors

#: Takes the number of bytes that are expected.
Reader = Callable[[int], bytes]
#: Local file header (4.3.7), central directory header (4.3.12), end of central directory record (4.3.16).
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
_LOCAL_SIGNATURE, _CENTRAL_SIGNATURE, _END_SIGNATURE = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
#: Version 2.0, which is deflation's; made on Unix (4.4.2); a regular file that its owner may write.
_VERSION, _UNIX, _REGULAR, _DEFLATED = 20, 3 << 8, 0o100644 << 16, 8


@dataclass(frozen=True)
class Entry:
    """A file of the archive.

    :param size: bytes, as the archive says; reading gives no more.
    """

    name: str
    size: int
    read: Reader


@dataclass(frozen=True)
class _Header:
    """What differs from one file to the next."""

    name: bytes
    time: int
    date: int
    checksum: int
    packed: int
    size: int

    def local(self) -> bytes:
        common = (_VERSION, 0, _DEFLATED, self.time, self.date, self.checksum, self.packed, self.size)
        return _LOCAL.pack(_LOCAL_SIGNATURE, *common, len(self.name), 0) + self.name

    def central(self, offset: int) -> bytes:
        common = (_VERSION, 0, _DEFLATED, self.time, self.date, self.checksum, self.packed, self.size)
        made = (_CENTRAL_SIGNATURE, _VERSION | _UNIX)
        return _CENTRAL.pack(*made, *common, len(self.name), 0, 0, 0, 0, _REGULAR, offset) + self.name


def bad_evidence(text: str) -> errors.PeerError:
    """An error for what no evidence folder holds: whoever checks one has not made it."""
    return errors.PeerError(
        f"{text}: this is the fault of whoever made or changed the folder",
        code="bad-evidence",
        remedy="Ask the side that gave it for its evidence as it was saved; what it has given proves nothing.",
    )


def pack(files: Mapping[str, bytes], at: datetime) -> bytes:
    """A zip file; the same files and time give the same bytes.

    :param at: the time of each file, from 1980 on.
    """
    local, central = [], []
    offset = 0
    time, date = _dos(at)
    for name, data in sorted(files.items()):
        deflated = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        packed = deflated.compress(data) + deflated.flush()
        header = _Header(name.encode("ascii"), time, date, zlib.crc32(data), len(packed), len(data))
        local += [header.local(), packed]
        central.append(header.central(offset))
        offset += len(header.local()) + len(packed)
    directory = b"".join(central)
    end = _END.pack(_END_SIGNATURE, 0, 0, len(central), len(central), len(directory), offset, 0)
    return b"".join([*local, directory, end])


def _dos(at: datetime) -> tuple[int, int]:
    """Time and date as MS-DOS has them (4.4.6)."""
    return at.hour << 11 | at.minute << 5 | at.second // 2, at.year - 1980 << 9 | at.month << 5 | at.day


def entries(content: bytes, most: int) -> Iterator[Entry]:
    """The files of an archive.

    :param most: files.
    :raises sv2m.errors.PeerError: it is no zip file as :func:`pack` writes one.
    """
    end = len(content) - _END.size
    if end < 0 or content[end : end + 4] != _END_SIGNATURE:
        raise bad_evidence("it is neither a folder nor a zip file of evidence")
    *_, number, size, start, _ = _END.unpack_from(content, end)
    if number > most:
        raise bad_evidence("no evidence folder has so many files")
    expected = _END.pack(_END_SIGNATURE, 0, 0, number, number, size, start, 0)
    if content[end:] != expected or start + size != end:
        raise _otherwise()
    offset, position = 0, start
    for _ in range(number):
        header = _header(content, position)
        if not content.startswith(header.central(offset), position) or not content.startswith(header.local(), offset):
            raise _otherwise()
        position += _CENTRAL.size + len(header.name)
        offset += _LOCAL.size + len(header.name)
        yield Entry(_name(header), header.size, _reader(content[offset : offset + header.packed], header))
        offset += header.packed
    if (offset, position) != (start, end):
        raise _otherwise()


def _header(content: bytes, position: int) -> _Header:
    try:
        said = _CENTRAL.unpack_from(content, position)
    except struct.error as error:
        raise _otherwise() from error
    time, date, checksum, packed, size, length = said[5:11]
    begin = position + _CENTRAL.size
    return _Header(content[begin : begin + length], time, date, checksum, packed, size)


def _name(header: _Header) -> str:
    try:
        return header.name.decode("ascii")
    except UnicodeDecodeError as error:
        raise bad_evidence(f"no file of an evidence folder is named {header.name[:200]!a}") from error


def _reader(packed: bytes, header: _Header) -> Reader:
    def read(size: int) -> bytes:
        inflated = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        try:
            # One byte more than there may be shows that there is more.
            data = inflated.decompress(packed, size + 1)
        except zlib.error:
            data = b""
        if not inflated.eof or inflated.unused_data or zlib.crc32(data) != header.checksum:
            raise bad_evidence(f"{header.name[:200]!a} cannot be unpacked")
        return data

    return read


def _otherwise() -> errors.PeerError:
    return bad_evidence("the zip file is not as evidence is saved (unpack it, and give the directory)")
