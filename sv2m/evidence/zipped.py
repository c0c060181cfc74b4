# SPDX-License-Identifier: Apache-2.0
"""The entries of a zip file that a stranger may have made: bounds are checked before anything is unpacked."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sv2m import errors

#: Takes the number of bytes that are expected.
Reader = Callable[[int], bytes]
#: The end of central directory record, which stands last where the archive has no comment (APPNOTE.TXT, 4.3.16).
_END = struct.Struct("<4s4H2LH")
#: The locator of a zip64 record, which would stand before it (4.3.15); no evidence folder is so large.
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20
#: Bytes of the directory's entry of one file, at most: header, name, and what other programs add.
_ENTRY = 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
#: What zipfile raises for archives that are malformed, each in another place.
_MALFORMED = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError, struct.error, OSError
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A file of the archive.

    :param size: bytes, as the archive says; reading gives no more.
    """

    name: str
    size: int
    read: Reader


def bad_evidence(text: str) -> errors.PeerError:
    """An error for what no evidence folder holds: whoever checks one has not made it."""
    return errors.PeerError(
        f"{text}: this is the fault of whoever made or changed the folder",
        code="bad-evidence",
        remedy="Ask the side that gave it for its evidence as it was saved; what it has given proves nothing.",
    )


def entries(content: bytes, most: int) -> Iterator[Entry]:
    """The files of an archive; directories are passed over.

    :param most: files.
    :raises sv2m.errors.PeerError: it is no zip file, or none that ``evidence save`` or a common program makes.
    """
    _check_end(content, most)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for one in archive.infolist():
                # Not is_dir(), which wants a name of at least one letter.
                if one.filename.endswith("/"):
                    continue
                if one.compress_type not in _METHODS or one.flag_bits & _ENCRYPTED:
                    raise bad_evidence("the zip file is packed in another way than evidence is")
                yield Entry(one.filename, one.file_size, _reader(archive, one))
    except _MALFORMED as error:
        raise bad_evidence("the zip file is malformed") from error


def _reader(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Reader:
    def read(size: int) -> bytes:
        try:
            with archive.open(entry) as file:
                return file.read(size + 1)
        except _MALFORMED as error:
            raise bad_evidence(f"{entry.filename[:200]!a} cannot be unpacked") from error

    return read


def _check_end(content: bytes, most: int) -> None:
    """Before zipfile makes an object of each entry: how many there may be."""
    end = content[-_END.size :]
    if len(end) < _END.size:
        raise bad_evidence("it is neither a folder nor a zip file")
    signature, *_, number, size, _, comment = _END.unpack(end)
    before = content[-_END.size - _LOCATOR_SIZE : -_END.size]
    if signature != b"PK\x05\x06" or comment or before.startswith(_LOCATOR):
        raise bad_evidence("it is neither a folder nor a zip file of evidence")
    if number > 2 * most or size > 2 * most * _ENTRY:
        raise bad_evidence("no evidence folder has so many files")
