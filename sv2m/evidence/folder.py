# SPDX-License-Identifier: Apache-2.0
"""The files of a saved evidence folder (or of the zip file that it came in): names and bytes, nothing believed.

The other side has made it: whatever cannot be in a folder that was saved is refused before it is read, and how much is
read is bounded by what an evidence folder can have.
"""

from __future__ import annotations

import functools
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sv2m import errors, protocol
from sv2m.evidence import zipped
from sv2m.evidence.zipped import Reader
from sv2m.protocol.declaration import OF_ROLE
from sv2m.protocol.messages import MAX_SEALED_SIGNATURE

MAX_FILES = 1000
#: Bytes of the audit log's files, each: of some 10,000 events. Of the revocation lists: two of the largest that a cloud
#: reads (``[cmm]``), in PEM. Of any other file that is not a message or the manifest.
MAX_LOG, MAX_LISTS, MAX_OTHER = 4 << 20, 24 << 20, 1 << 20
#: Bytes of all files: each message and the manifest as large as the protocol has them, and as much again of others.
MAX_ALL = protocol.MAX_DOCUMENT + len(protocol.KINDS) * protocol.MAX_SMALL + MAX_SEALED_SIGNATURE + 2 * MAX_LISTS
MANIFEST, SUMMARY, README = "manifest.xml", "summary.json", "README.txt"
#: The revocation lists of the time, in PEM.
LISTS = "certificates/crl.pem"
#: The CAs of the agreement.
ROOT = "certificates/ca.pem"
#: Numbers of the messages in protocol.md; the sixth is the segments.
NUMBERS = {kind: number if number < 6 else number + 1 for number, kind in enumerate(protocol.KINDS, start=1)}
#: What a person may have declared.
DECLARATIONS = tuple(sorted({kind for kinds in OF_ROLE.values() for kind in kinds}))
#: Which cloud signs which message.
SIGNED_BY_DESTINATION = ("TokenBA1", "TokenBA2", "Prepared", "Receipt")
_MAX_NAME = 200


def message_file(kind: str) -> str:
    """The name of a message's file."""
    return f"messages/{NUMBERS[kind]:02d}-{kind}.xml"


def declaration_file(kind: str) -> str:
    """The name of the file of what a person has declared, by its kind."""
    return f"declarations/{kind}.xml"


def is_covered(covers: str) -> bool:
    """Whether this is what a timestamp can cover: a message's kind, the log up to an event, or all that there was."""
    return covers in NUMBERS or re.fullmatch("(audit|archive)-[0-9]{1,19}", covers) is not None


def signer(kind: str) -> str:
    """The role that signs a message."""
    return "destination" if kind in SIGNED_BY_DESTINATION else "source"


@dataclass(frozen=True)
class Folder:
    """What was saved.

    :param name: for people.
    :param files: bytes by name, with ``/`` between directory and file.
    """

    name: str
    files: Mapping[str, bytes]

    @classmethod
    def read(cls, path: Path) -> Folder:
        """Read a folder or a zip file.

        :raises sv2m.errors.LocalError: there is neither, or it cannot be read.
        :raises sv2m.errors.PeerError: it holds what no evidence folder holds.
        """
        try:
            if path.is_dir():
                return cls(str(path), _read(path))
            with path.open("rb") as file:
                # One byte more than is taken shows that there is too much.
                return cls.unpack(str(path), file.read(MAX_ALL + 1))
        except OSError as error:
            raise errors.LocalError(f"{path} cannot be read: {error}", code="no-evidence") from error

    @classmethod
    def unpack(cls, name: str, content: bytes) -> Folder:
        """Read a zip file's bytes.

        :raises sv2m.errors.PeerError: it is none, or holds what no evidence folder holds.
        """
        _limit(0, len(content))
        taken = _Taken()
        for one in zipped.entries(content, MAX_FILES):
            taken.add(one.name, one.size, one.read)
        return cls(name, taken.files)

    @functools.cached_property
    def messages(self) -> dict[str, bytes]:
        """The signed messages that are there, by kind, in the protocol's order."""
        names = ((kind, message_file(kind)) for kind in NUMBERS)
        return {kind: self.files[name] for kind, name in names if name in self.files}

    @functools.cached_property
    def declarations(self) -> dict[str, bytes]:
        """The declarations that are there, by kind."""
        names = ((kind, declaration_file(kind)) for kind in DECLARATIONS)
        return {kind: self.files[name] for kind, name in names if name in self.files}

    def audit_lines(self) -> Iterator[str]:
        """The audit log, its files one after the other: a line at a time, as there may be millions that are none."""
        for name in self.logs:
            # Not splitlines(): that would also cut at characters that JSON has inside of its strings.
            for line in re.finditer(rb"[^\n]*\n|[^\n]+", self.files[name]):
                yield line[0].removesuffix(b"\n").decode("utf-8", "replace")

    @functools.cached_property
    def logs(self) -> list[str]:
        """The names of the audit log's files, in their order."""
        return sorted(name for name in self.files if re.fullmatch(r"audit/[0-9]+-[0-9]+\.jsonl", name))


class _Taken:
    """Files that were taken, and the bounds that are left for more."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._bytes = 0

    def add(self, name: str, size: int, read: Reader) -> None:
        _check_name(name)
        if name in self.files:
            raise _bad(f"{name} is there twice")
        self._bytes += size
        if size > most(name):
            raise _bad(f"{name} is larger than in any evidence folder")
        _limit(len(self.files) + 1, self._bytes)
        data = read(size)
        if len(data) != size:
            raise _bad(f"{name} is not as long as it is said to be")
        self.files[name] = data


def _read(path: Path) -> dict[str, bytes]:
    taken = _Taken()
    for one in _walk(path):
        found = one.lstat()
        if not stat.S_ISREG(found.st_mode):
            # A link would lead out of the folder, a FIFO would never end.
            raise _bad(f"{one.relative_to(path).as_posix()!a} is not a regular file")
        taken.add(one.relative_to(path).as_posix(), found.st_size, _reader(one))
    return dict(sorted(taken.files.items()))


def _reader(path: Path) -> Reader:
    def read(size: int) -> bytes:
        with path.open("rb") as file:
            return file.read(size + 1)

    return read


def _walk(path: Path, depth: int = 0) -> Iterator[Path]:
    if depth > 4:
        raise _bad("directories stand in directories more deeply than in any evidence folder")
    for number, one in enumerate(path.iterdir()):
        _limit(number, 0)
        if one.is_dir() and not one.is_symlink():
            yield from _walk(one, depth + 1)
        else:
            yield one


def _check_name(name: str) -> None:
    """A name that a person may read on a terminal, and that nobody takes for a path out of the folder."""
    parts = name.split("/")
    plain = len(name) <= _MAX_NAME and name.isprintable() and "\\" not in name and ":" not in name
    if not plain or any(part in ("", ".", "..") for part in parts):
        raise _bad(f"no file of an evidence folder is named {name[:_MAX_NAME]!a}")


def most(name: str) -> int:
    """How many bytes a file of this name may have: what the protocol takes is heard, however large."""
    if name.startswith("messages/"):
        return protocol.MAX_DOCUMENT if name == message_file("Transfer") else protocol.MAX_SMALL
    by_name = {MANIFEST: MAX_SEALED_SIGNATURE, LISTS: MAX_LISTS}
    return by_name.get(name, MAX_LOG if name.startswith("audit/") else MAX_OTHER)


def _limit(files: int, total: int) -> None:
    if files > MAX_FILES or total > MAX_ALL:
        raise _bad("no evidence folder has so many or so large files")


def _bad(text: str) -> errors.PeerError:
    return zipped.bad_evidence(text)
