# SPDX-License-Identifier: Apache-2.0
"""What the audit log of a folder tells of, against what is in the folder, and whose log it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from sv2m import errors, protocol
from sv2m.evidence import blocks, chain
from sv2m.evidence.folder import DECLARATIONS, LISTS, MANIFEST, ROOT, Folder, declaration_file, signer
from sv2m.evidence.report import BAD, GOOD, NOTE, Report
from sv2m.evidence.summary import Summary
from sv2m.protocol.transcript import Transcript

#: What stands in the log for what is no message, by the file that has it.
_OTHERS = {
    **{"manifest": MANIFEST, "ca": ROOT, "crl": LISTS},
    **{f"declaration-{kind}": declaration_file(kind) for kind in DECLARATIONS},
}
#: It is kept of the agreement where none was kept with the messages; then the log does not tell of it.
_FROM_ELSEWHERE = {"ca"}
_NOTHING = hashlib.sha384().hexdigest()
_OTHER = {"source": "destination", "destination": "source"}


def check(folder: Folder, transcript: Transcript, said: Summary, report: Report) -> None:
    """The log is one, is this migration's and this cloud's, and tells of what is there and of nothing else."""
    for name in sorted(folder.files):
        if name.startswith("audit/") and name not in folder.logs:
            report.add(name, BAD, "no part of an audit log has this name")
    if not folder.logs:
        report.add("audit", NOTE, "no audit log was saved")
        return
    log = chain.read(folder.audit_lines(), transcript.migration_id or said.migration_id or "")
    faults = [*log.faults, *_ends(folder), *_whose(log, transcript, said), *_missed(folder, log)]
    for fault in faults:
        report.add("audit", BAD, fault)
    if not faults:
        report.add("audit", GOOD, f"{len(log.events)} events in one chain, ending with {log.digest[:16]}…")
    untold = sorted(kept(folder).keys() - _told(log).keys() - _FROM_ELSEWHERE)
    if untold and not log.faults and not _is_whole(log):
        report.add("audit", NOTE, f"it begins later, and does not tell of {', '.join(untold)}")


def _ends(folder: Folder) -> Iterator[str]:
    """Each file ends as a line does: what does not may go on in the next one."""
    for name in folder.logs:
        if not folder.files[name].endswith(b"\n"):
            yield f"{name} does not end with an event"


def _is_whole(log: chain.Log) -> bool:
    return bool(log.events) and log.events[0]["action"] == "created"


def _told(log: chain.Log) -> Mapping[str, str]:
    return {event["kind"]: event["sha384"] for event in log.events if event["action"] == "document"}


def _missed(folder: Folder, log: chain.Log) -> Iterator[str]:
    told, there = _told(log), kept(folder)
    for kind, digest in there.items():
        untold = _is_whole(log) and kind not in told and kind not in _FROM_ELSEWHERE
        if untold or told.get(kind, digest) != digest:
            yield f"it does not tell of this {_OTHERS.get(kind, kind)}"
    for kind, digest in told.items():
        # A cloud that had no list has kept that, and there is no file of it.
        if kind not in there and (kind, digest) != ("crl", _NOTHING):
            yield f"it tells of a {kind} that is not in the folder"


def kept(folder: Folder) -> dict[str, str]:
    """SHA-384 of what is there, by what the log calls it."""
    found = {kind: hashlib.sha384(document).hexdigest() for kind, document in folder.messages.items()}
    for kind, name in _OTHERS.items():
        if name in folder.files:
            found[kind] = hashlib.sha384(_document(kind, folder.files[name])).hexdigest()
    return found


def _document(kind: str, data: bytes) -> bytes:
    """What was kept: of the revocation lists their DER, one after the other."""
    if kind != "crl":
        return data
    try:
        return b"".join(blocks.decode(data, blocks.CRL))
    except errors.SV2MError:
        # It is off for itself, too; and no log tells of it.
        return data


def _whose(log: chain.Log, transcript: Transcript, said: Summary) -> Iterator[str]:
    """It is the log of the cloud that has kept the folder: it has sent what it signs, and received the rest."""
    if said.role not in _OTHER:
        # The summary is off for itself.
        return
    stranger = next((event for event in log.events if _role(event) not in {None, said.role}), None)
    if stranger is not None:
        yield f"event {stranger['number']}: it is not the {said.role}'s, whose folder this is"
    if _is_whole(log) and "Offer" in transcript:
        offer = transcript.message(protocol.Offer)
        own, peer = (offer.source.name, offer.destination)[:: 1 if said.role == "source" else -1]
        if (said.kept_by, log.events[0].get("peer")) != (own, peer):
            yield f"it is not {own}'s log of a migration with {peer}"


def _role(event: Mapping[str, Any]) -> object:
    """Of the cloud that writes this event; None where any may."""
    if event["action"] == "created":
        return event.get("role")
    if event["action"] == "document" and event["kind"] in protocol.KINDS:
        by = signer(event["kind"])
        return by if event.get("direction") == "sent" else _OTHER[by]
    return None
