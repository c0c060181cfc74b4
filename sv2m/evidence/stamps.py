# SPDX-License-Identifier: Apache-2.0
"""The timestamps of an evidence folder: of messages, of the audit log, and of all that there was (archive)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography import x509

from sv2m import errors
from sv2m.evidence import timestamps
from sv2m.evidence.folder import MAX_FILES, Folder, message_file
from sv2m.evidence.report import BAD, GOOD, NOTE, Report

DIRECTORY = "timestamps/"
#: Those roots that the cloud itself trusted, for whoever checks by hand.
ROOTS = "timestamps/ca.pem"
#: Bytes of a listing: a line of 131 and a name for each file.
_MAX_LISTING = MAX_FILES * 400
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
    return [line[130:-1] for line in _entries(listing) if line[128:130] == " *"]


def _entries(listing: str) -> list[str]:
    """Its lines with their ends, as a shell reads them: to Python other characters than a line feed end a line too."""
    return re.findall(r"[^\n]*\n", listing)


def check(folder: Folder, roots: Sequence[x509.Certificate], report: Report) -> dict[str, datetime]:
    """Check every timestamp.

    :returns: the earliest time of each message that a timestamp shows: its own, or that of a listing which has it.
    """
    times: dict[str, datetime] = {}
    log, listed = _numbered(folder), _lines(folder)
    for name in sorted(folder.files):
        if name.startswith(DIRECTORY) and name.endswith(".tsr"):
            covers = name.removeprefix(DIRECTORY).removesuffix(".tsr")
            data = _covered(folder, covers, log)
            if data is None:
                report.add(name, BAD, "what it is of is not in the folder")
                continue
            try:
                stamp = timestamps.verify(folder.files[name], data, roots)
            except errors.SV2MError as error:
                report.add(name, BAD, str(error))
                continue
            report.add(name, GOOD, f"existed at {stamp.at:%Y-%m-%d %H:%M:%S} UTC")
            for kind in _shown(folder, covers, listed):
                times[kind] = min(times.get(kind, stamp.at), stamp.at)
        elif name.startswith(DIRECTORY) and name.endswith(".sha512"):
            _check_listing(folder, name, listed, report)
        elif name.startswith(DIRECTORY) and name != ROOTS:
            report.add(name, BAD, "no timestamp has this name")
    _missing(folder, report)
    return times


def in_use(folder: Folder) -> bool:
    """Whether a timestamp authority was asked for this folder, whatever it answered."""
    return any(name.startswith(DIRECTORY) and name.endswith(".tsr") for name in folder.files)


def _numbered(folder: Folder) -> dict[str, str]:
    """Those lines of the audit log that timestamps are of, by number, as far as the log is one."""
    of = re.compile(rf"{DIRECTORY}audit-([0-9]{{1,19}})\.tsr")
    wanted = {match[1] for name in folder.files if (match := of.fullmatch(name))}
    found: dict[str, str] = {}
    for line in folder.audit_lines() if wanted else ():
        number = re.search(r'"number":([0-9]{1,19})[,}]', line)
        if number is None:
            break
        if number[1] in wanted:
            found.setdefault(number[1], line)
    return found


def _lines(folder: Folder) -> dict[str, str]:
    """The line of each file in a listing of now: made once, however many listings there are."""
    if not any(name.endswith(".sha512") for name in folder.files):
        return {}
    return {name: listing_of({name: data}) for name, data in folder.files.items()}


def _covered(folder: Folder, covers: str, log: Mapping[str, str]) -> bytes | None:
    if covers.startswith("archive-"):
        return folder.files.get(listing_file(covers))
    if covers.startswith("audit-"):
        line = log.get(covers.removeprefix("audit-"))
        return None if line is None else f"{line}\n".encode("utf-8", "replace")
    return folder.files.get(f"messages/{covers}.xml")


def _shown(folder: Folder, covers: str, lines: Mapping[str, str]) -> list[str]:
    """The kinds of the messages of which a timestamp shows that they were there."""
    if not covers.startswith("archive-"):
        return [kind for kind in folder.messages if stamp_file(kind) == f"{DIRECTORY}{covers}.tsr"]
    listed = set(_entries(_listing(folder, listing_file(covers))))
    return [kind for kind in folder.messages if lines[message_file(kind)] in listed]


def _listing(folder: Folder, name: str) -> str:
    """A listing's text; none that is longer than one of all the files that a folder may have."""
    data = folder.files[name]
    return data.decode("utf-8", "replace") if len(data) <= _MAX_LISTING else ""


def _check_listing(folder: Folder, name: str, lines: Mapping[str, str], report: Report) -> None:
    listing = _listing(folder, name)
    if name.removesuffix(".sha512") + ".tsr" not in folder.files:
        report.add(name, BAD, "its timestamp is not in the folder")
    names = sorted(set(archived_names(listing)))
    if "".join(lines.get(one, "") for one in names) == listing and names:
        report.add(name, GOOD, f"{len(names)} files are as they were when it was made")
        return
    listed = set(_entries(listing))
    changed = [one for one in names if lines.get(one) not in listed]
    report.add(name, BAD, f"changed or missing since: {', '.join(changed[:20]) or 'the listing itself'}")


def _missing(folder: Folder, report: Report) -> None:
    stamped = in_use(folder)
    for kind in _STAMPED_BY_DEFAULT:
        if stamped and kind in folder.messages and stamp_file(kind) not in folder.files:
            report.add(message_file(kind), NOTE, "it has no timestamp (yet)")
