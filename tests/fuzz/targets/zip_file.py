# SPDX-License-Identifier: Apache-2.0
"""The zip file in which evidence came: names, sizes, and the archive's own lies about them."""

from __future__ import annotations

import io
import itertools
import random
import re
import struct
import zipfile
from datetime import UTC, datetime

from sv2m import errors
from sv2m.evidence import folder as folders
from sv2m.evidence import zipped
from sv2m.evidence.folder import Folder
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise

#: What stands at the beginning of a file, of an entry of the directory, and of its end.
_SIGNATURES = rb"PK\x03\x04|PK\x01\x02|PK\x05\x06|PK\x06\x07|PK\x06\x06"


def check(data: bytes) -> None:
    try:
        found = Folder.unpack("other side's", data)
    except errors.PeerError as error:
        promise(error.code == "bad-evidence", f"unexpected code {error.code}")
        promise(error.message.isprintable() and len(error.message) < 2000, "the error draws on the terminal")
        return
    promise(len(found.files) <= folders.MAX_FILES, "too many files")
    promise(sum(map(len, found.files.values())) <= folders.MAX_ALL, "too many bytes")
    for name in found.files:
        parts = name.split("/")
        promise(name.isprintable() and not {"", ".", ".."} & set(parts) and "\\" not in name, "a name is a way out")


def _split(data: bytes) -> list[bytes]:
    starts = [0, *(found.start() for found in re.finditer(_SIGNATURES, data)), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(starts) if start < end]


def _mutate(data: bytes, rng: random.Random) -> bytes:
    parts = _split(data)
    if rng.random() < 0.5 and len(parts) > 2:
        # A size, a count or an offset of the directory or its end.
        place = rng.randrange(len(parts))
        part = bytearray(parts[place])
        at = rng.choice((4, 6, 8, 10, 12, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 42))
        size = rng.choice((2, 4))
        if len(part) >= at + size:
            value = rng.choice((0, 1, 2, 8, 12, 14, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 24, len(data)))
            part[at : at + size] = struct.pack("<Q", value)[:size]
            parts[place] = bytes(part)
        return b"".join(parts)
    if rng.random() < 0.3:
        old, new = rng.choice(_NAMES), rng.choice(_NAMES)
        return data.replace(old, new[: len(old)].ljust(len(old), b"x"))
    return _PIECES(data, rng)


_NAMES = (
    b"summary.json",
    b"manifest.xml",
    b"../../../etc",
    b"/etc/passwd\0",
    b"a\\..\\..\\win",
    b"messages/../",
    b"C:\\x",
)


def _packed(method: int, *entries: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return content.getvalue()


_AT = datetime(2026, 3, 1, tzinfo=UTC)
_SEEDS = (
    zipped.pack({"summary.json": b"{}", "manifest.xml": b"<x/>" * 20}, _AT),
    zipped.pack({"messages/01-Offer.xml": b"<x/>", "certificates/crl.pem": bytes(100_000)}, _AT),
    zipped.pack({}, _AT),
    _packed(zipfile.ZIP_DEFLATED, ("summary.json", b"{}"), ("manifest.xml", b"<x/>" * 20)),
    _packed(zipfile.ZIP_STORED, ("summary.json", b"{}"), ("messages/", b""), ("messages/01-Offer.xml", b"<x/>")),
    _packed(zipfile.ZIP_STORED, ("manifest.xml", b"")),
    _packed(zipfile.ZIP_DEFLATED, ("manifest.xml", bytes(100_000))),
    _packed(zipfile.ZIP_STORED),
)
_PIECES = pieces.mutator(_split, _SEEDS, 46)


def make() -> Target:
    return Target(
        "evidence.folder, zipped: zip files of evidence",
        check,
        _SEEDS,
        ("sv2m.evidence",),
        _mutate,
        max_bytes=4 << 10,
        # A file of the archive may have megabytes, however small the archive is.
        memory=8 << 20,
    )
