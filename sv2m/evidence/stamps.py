# SPDX-License-Identifier: Apache-2.0
"""The timestamps of an evidence folder: of messages, of the audit log, and of all that there was (archive)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography import x509

from sv2m import errors
from sv2m.evidence import timestamps
from sv2m.evidence.folder import Folder, message_file
from sv2m.evidence.report import BAD, GOOD, NOTE, Report

DIRECTORY = "timestamps/"
#: Those roots that the cloud itself trusted, for whoever checks by hand.
ROOTS = "timestamps/ca.pem"
_STAMPED_BY_DEFAULT = ("Transfer", "Prepared", "Release", "Receipt", "Closure")


def stamp_file(covers: str) -> str:
    """The name of a timestamp's file: that of the message, or ``audit-N``, ``archive-N``."""
    kind = message_file(covers) if not re.fullmatch(r"(audit|archive)-\d+", covers) else covers
    return f"{DIRECTORY}{kind.removeprefix('messages/').removesuffix('.xml')}.tsr"


def listing_file(covers: str) -> str:
    """The name of an archive timestamp's listing; the end says which digest it lists."""
    return f"{DIRECTORY}{covers}.sha512"


def listing_of(files: Mapping[str, bytes]) -> str:
    """A line for each file: SHA-512 and name, as ``openssl dgst -sha512 -r`` prints them."""
    return "".join(f"{hashlib.sha512(data).hexdigest()} *{name}\n" for name, data in sorted(files.items()))


def archived_names(listing: str) -> list[str]:
    """The files that a listing names."""
    return [line[130:] for line in listing.splitlines() if line[128:130] == " *"]


def check(folder: Folder, roots: Sequence[x509.Certificate], report: Report) -> list[datetime]:
    """Check every timestamp.

    :returns: the times of those that hold and are of messages.
    """
    times: list[datetime] = []
    for name in sorted(folder.files):
        if name.startswith(DIRECTORY) and name.endswith(".tsr"):
            covers = name.removeprefix(DIRECTORY).removesuffix(".tsr")
            data = _covered(folder, covers)
            if data is None:
                report.add(name, BAD, "what it is of is not in the folder")
                continue
            try:
                stamp = timestamps.verify(folder.files[name], data, roots)
            except errors.SV2MError as error:
                report.add(name, BAD, str(error))
                continue
            report.add(name, GOOD, f"existed at {stamp.at:%Y-%m-%d %H:%M:%S} UTC")
            if not covers.startswith(("audit-", "archive-")):
                times.append(stamp.at)
        elif name.startswith(DIRECTORY) and name.endswith(".sha512"):
            _check_listing(folder, name, report)
        elif name.startswith(DIRECTORY) and name != ROOTS:
            report.add(name, BAD, "no timestamp has this name")
    _missing(folder, report)
    return times


def _covered(folder: Folder, covers: str) -> bytes | None:
    if covers.startswith("archive-"):
        return folder.files.get(listing_file(covers))
    if covers.startswith("audit-"):
        for line in folder.audit_lines:
            try:
                number = json.loads(line)["number"]
            except (ValueError, KeyError, TypeError):
                continue
            if covers == f"audit-{number}":
                return f"{line}\n".encode()
        return None
    return folder.files.get(f"messages/{covers}.xml")


def _check_listing(folder: Folder, name: str, report: Report) -> None:
    listing = folder.files[name].decode("utf-8", "replace")
    if name.removesuffix(".sha512") + ".tsr" not in folder.files:
        report.add(name, BAD, "its timestamp is not in the folder")
    names = archived_names(listing)
    kept = {one: folder.files[one] for one in names if one in folder.files}
    if listing_of(kept) == listing and names:
        report.add(name, GOOD, f"{len(names)} files are as they were when it was made")
        return
    changed = [one for one in names if listing_of({one: kept.get(one, b"")}) not in listing.splitlines(keepends=True)]
    report.add(name, BAD, f"changed or missing since: {', '.join(changed) or 'the listing itself'}")


def _missing(folder: Folder, report: Report) -> None:
    stamped = [name for name in folder.files if name.endswith(".tsr")]
    for kind in _STAMPED_BY_DEFAULT:
        if stamped and kind in folder.messages and stamp_file(kind) not in folder.files:
            report.add(message_file(kind), NOTE, "it has no timestamp (yet)")
