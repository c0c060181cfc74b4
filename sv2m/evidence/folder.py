# SPDX-License-Identifier: Apache-2.0
"""The files of a saved evidence folder (or of the zip file that it came in): names and bytes, nothing believed."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sv2m import errors, protocol

#: Bytes. The largest document is a Transfer; a log of a million events is none that a migration makes.
MAX_FILE = 64 << 20
MAX_FILES = 1000
MANIFEST, SUMMARY, README = "manifest.xml", "summary.json", "README.txt"
#: Numbers of the messages in protocol.md; the sixth is the segments.
NUMBERS = {kind: number if number < 6 else number + 1 for number, kind in enumerate(protocol.KINDS, start=1)}
#: Which cloud signs which message.
SIGNED_BY_DESTINATION = ("TokenBA1", "TokenBA2", "Prepared", "Receipt")


def message_file(kind: str) -> str:
    """The name of a message's file."""
    return f"messages/{NUMBERS[kind]:02d}-{kind}.xml"


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

        :raises sv2m.errors.LocalError: it is neither, or holds what no evidence folder holds.
        """
        try:
            if path.is_dir():
                names = [one for one in sorted(path.rglob("*")) if not one.is_dir()]
                _limit(len(names), max((one.lstat().st_size for one in names), default=0))
                return cls(str(path), {one.relative_to(path).as_posix(): one.read_bytes() for one in names})
            with zipfile.ZipFile(path) as archive:
                entries = [one for one in archive.infolist() if not one.is_dir()]
                _limit(len(entries), max((one.file_size for one in entries), default=0))
                return cls(str(path), {one.filename: archive.read(one) for one in entries})
        except (OSError, zipfile.BadZipFile) as error:
            raise errors.LocalError(f"{path} cannot be read: {error}", code="no-evidence") from error

    @property
    def messages(self) -> dict[str, bytes]:
        """The signed messages that are there, by kind, in the protocol's order."""
        return {kind: self.files[message_file(kind)] for kind in NUMBERS if message_file(kind) in self.files}

    @property
    def audit_lines(self) -> list[str]:
        """The audit log, its files one after the other."""
        names = sorted(name for name in self.files if re.fullmatch(r"audit/\d+-\d+\.jsonl", name))
        return b"".join(self.files[name] for name in names).decode("utf-8", "replace").splitlines()

    @property
    def summary(self) -> dict[str, Any]:
        """What the folder says of itself. Nobody has signed it."""
        try:
            found = json.loads(self.files.get(SUMMARY, b"{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def _limit(files: int, largest: int) -> None:
    if files > MAX_FILES or largest > MAX_FILE:
        raise errors.LocalError("no evidence folder has so many or so large files", code="no-evidence")
