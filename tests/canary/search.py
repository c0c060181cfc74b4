# SPDX-License-Identifier: Apache-2.0
"""Searches for secrets in every form in which a program might have let them out: whole, or half of them."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.canary.patterns import Patterns

#: Somewhere, and what is there.
Place = tuple[str, bytes]
#: Half of a 256-bit key: what is shorter could be there by chance.
SHORTEST = 16
#: Bytes of the largest text; what is longer is an image or a capture, which has no lines.
_TEXT = 16 << 20
#: Line ends and blanks, also as JSON and Python write them, by which long base64 is broken.
_BREAKS = re.compile(rb"\\[rn]|[\r\n\t ]+")
#: Of an archive that is still being written, or is none.
_CUT = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError)


@dataclass(frozen=True)
class Leak:
    """A secret, the form in which it was found, and where."""

    secret: str
    form: str
    where: str


class Search:
    """Searches for some secrets.

    :param secrets: name -> bytes. A private key in PEM is also searched for by its private numbers.
    """

    def __init__(self, secrets: dict[str, bytes]) -> None:
        named: dict[bytes, tuple[str, str]] = {}
        for name, value in secrets.items():
            for part, found in _parts(value):
                for form, pattern in forms(found):
                    named.setdefault(pattern, (f"{name}{part}", form))
        self._named = named
        self._patterns = Patterns(named)

    def within(self, places: Iterable[Place]) -> list[Leak]:
        """Every secret that is somewhere there."""
        leaks = []
        for where, content in places:
            for inner, part in _opened(where, content):
                found = self._patterns.within(part)
                if len(part) <= _TEXT:
                    found |= self._patterns.within(_BREAKS.sub(b"", part))
                leaks += [Leak(*self._named[pattern], inner) for pattern in found]
        return sorted(leaks, key=str)


def _parts(value: bytes) -> Iterator[tuple[str, bytes]]:
    """A key and its halves; of a private key in PEM its lines, and what it is made of."""
    if value.startswith(b"-----BEGIN"):
        lines = [line for line in value.splitlines() if len(line) >= 40 and not line.startswith(b"-----")]
        key = load_pem_private_key(value, None)
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        # What the public key has too is in every certificate. The first line holds the algorithm's name.
        private = [one for one in enumerate(lines) if one[0] and base64.b64decode(one[1]) not in public]
        yield from ((f" (line {number})", line) for number, line in private)
        yield from ((f" ({name})", number) for name, number in _numbers(value))
        return
    yield "", value
    if len(value) >= 2 * SHORTEST:
        yield " (first half)", value[: len(value) // 2]
        yield " (second half)", value[len(value) // 2 :]


def _numbers(pem: bytes) -> Iterator[tuple[str, bytes]]:
    key = load_pem_private_key(pem, None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        yield "private value", key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    elif isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        for name, number in (("d", numbers.d), ("p", numbers.p), ("q", numbers.q)):
            yield name, number.to_bytes((number.bit_length() + 7) // 8, "big")


def forms(value: bytes) -> list[tuple[str, bytes]]:
    """How some bytes may be written."""
    found = {
        "raw": value,
        "hex": value.hex().encode(),
        "HEX": value.hex().upper().encode(),
        "hex with colons": value.hex(":").encode(),
        "url-escaped": quote_from_bytes(value, safe="").encode(),
        "url-escaped throughout": b"".join(b"%%%02X" % byte for byte in value),
        "Python bytes": repr(value)[2:-1].encode(),
        "numbers": ", ".join(map(str, value)).encode(),
        "JSON": json.dumps(value.decode("latin-1"))[1:-1].encode(),
        "UTF-8 of latin-1": value.decode("latin-1").encode(),
        "UTF-16": value.decode("latin-1").encode("utf-16-le"),
        "XML-escaped": escape(value.decode("latin-1")).encode("latin-1"),
    }
    for offset in range(3):
        # Of what base64 makes of (offset bytes, value, more bytes) only the middle depends on value alone.
        plain, of_hex = _middle(value, offset), _middle(value.hex().encode(), offset)
        found[f"base64, {offset} bytes behind"] = base64.b64encode(plain)
        found[f"url-safe base64, {offset} bytes behind"] = base64.urlsafe_b64encode(plain)
        found[f"base64 of hex, {offset} bytes behind"] = base64.b64encode(of_hex)
    return [(form, pattern) for form, pattern in found.items() if len(pattern) >= SHORTEST]


def _middle(value: bytes, offset: int) -> bytes:
    alone = value[(3 - offset) % 3 :]
    return alone[: len(alone) // 3 * 3]


def _opened(where: str, content: bytes) -> Iterator[Place]:
    """The content, and if it is an archive what is in it."""
    yield where, content
    if content.startswith(b"PK\3\4"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    yield from _opened(f"{where}:{name}", archive.read(name))
        except _CUT:
            return
    elif content[257:262] == b"ustar" or content.startswith(b"\x1f\x8b"):
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for member in archive.getmembers():
                    inner = archive.extractfile(member)
                    if inner is not None:
                        yield from _opened(f"{where}:{member.name}", inner.read())
        except _CUT:
            return


def files(
    root: Path, *, since: float = 0.0, largest: int = 256 << 20, leave_out: Iterable[str] = ()
) -> Iterator[Place]:
    """Every file below a directory that was written since then.

    :param leave_out: parts of paths that are not looked at.
    """
    for directory, _, names in os.walk(root):
        for path in (Path(directory) / name for name in names):
            try:
                status = path.lstat()
                wanted = path.is_file() and not path.is_symlink() and since <= status.st_mtime
                if wanted and status.st_size <= largest and not any(part in str(path) for part in leave_out):
                    yield str(path), path.read_bytes()
            except OSError:
                continue  # it is gone, or it is nobody's to read


def networked(network: str) -> Iterator[Place]:
    """Arguments and environment of every process in a network namespace.

    :param network: the target of /proc/PID/ns/net.
    """
    for entry, places in _processes():
        try:
            if str((entry / "ns" / "net").readlink()) == network:
                yield from places
        except OSError:
            continue  # it has ended


def processes(*directories: Path) -> list[Place]:
    """Arguments and environment of this process and of those that descend from it, whatever they call themselves.

    :param directories: also of every process that names one of these there: a hypervisor is nobody's child.
    """
    names = [os.fsencode(directory) for directory in directories]
    seen: list[tuple[int, int, list[Place]]] = []
    own = {os.getpid()}
    for entry, places in _processes():
        try:
            # Behind the name, which may have anything in it: state, parent.
            parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except OSError:
            continue  # it has ended
        seen.append((int(entry.name), parent, places))
        if any(name in content for name in names for _, content in places):
            own.add(int(entry.name))
    while more := {pid for pid, parent, _ in seen if parent in own} - own:
        own |= more
    return [place for pid, _, places in seen if pid in own for place in places]


def _processes() -> Iterator[tuple[Path, list[Place]]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            yield entry, [(str(entry / name), (entry / name).read_bytes()) for name in ("cmdline", "environ")]
        except OSError:
            continue  # it has ended
