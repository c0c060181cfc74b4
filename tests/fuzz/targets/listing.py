# SPDX-License-Identifier: Apache-2.0
"""The listing of an archive timestamp, as the other side of a dispute hands it in."""

from __future__ import annotations

import hashlib
from unittest import mock

from sv2m.evidence import stamps, timestamps
from sv2m.evidence.folder import Folder
from sv2m.evidence.report import GOOD, Report
from tests.fuzz import pieces, saved
from tests.fuzz.target import Target, promise

_NAME = "timestamps/archive-1.sha512"
_STAMP = stamps.stamp_file("archive-1")
_FILES = {
    name: data
    for name, data in saved.folder().files.items()
    if name == _STAMP or not name.startswith(stamps.DIRECTORY)
}
_LISTING = saved.folder().files[_NAME]
_AT = timestamps.verify(_FILES[_STAMP], _LISTING, [saved.root()])


def check(data: bytes) -> None:
    folder, report = Folder("other side's", {**_FILES, _NAME: data}), Report()
    # As if the authority had stamped whatever this is: what the listing alone shows is in question.
    with mock.patch.object(timestamps, "verify", return_value=_AT):
        times = stamps.check(folder, [saved.root()], report)
    lines = data.split(b"\n")
    truly = {name for name, held in folder.files.items() if _line(name, held) in lines}
    shown = {stamps.message_file(kind) for kind in times}
    promise(shown <= truly, "a listing shows the time of a message that it has not")
    said = [one for one in report.findings if one.subject == _NAME]
    promise(len(said) == 1, "a listing is looked at once")
    promise(all(one.text.isprintable() for one in report.findings), "a finding draws on the terminal")
    if said[0].result == GOOD:
        kept = sorted(truly)
        whole = b"".join(_line(name, folder.files[name]) + b"\n" for name in kept)
        promise(data == whole and bool(kept), "a listing is well that is not of these files")


def _line(name: str, data: bytes) -> bytes:
    """What ``openssl dgst -sha512 -r`` prints."""
    return f"{hashlib.sha512(data).hexdigest()} *{name}".encode()


def _split_lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def lines() -> list[bytes]:
    """Those of a true listing, each with its end."""
    return _split_lines(_LISTING)


def make() -> Target:
    first, second, third, *_ = lines()
    seeds = (_LISTING, first + second + third, first, first + first, second + first, _LISTING[:-1], b"")
    mutate = pieces.mutator(_split_lines, [_LISTING], 131)
    return Target("evidence.stamps: listings of archive timestamps", check, seeds, ("sv2m.evidence",), mutate)
