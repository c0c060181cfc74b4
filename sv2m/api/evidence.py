# SPDX-License-Identifier: Apache-2.0
"""The evidence of a migration as files that a third party checks without SV2M.

Nothing in it is confidential beyond who moved which server where and when: keys travel in it only as
encrypted to the destination's ephemeral key, which is destroyed when the migration ends.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sv2m import protocol
from sv2m.db.models import AuditEvent, Message, Migration, Peer, Timestamp
from sv2m.evidence import blocks, by_hand, pem, zipped
from sv2m.evidence.folder import LISTS, MANIFEST, README, ROOT, SUMMARY, declaration_file, message_file
from sv2m.evidence.stamps import ROOTS, archived_names, listing_file, stamp_file

#: The messages that introduce a cloud, and which one.
_INTRODUCTIONS = {"Offer": "source", "TokenBA1": "destination"}


@dataclass(frozen=True)
class Kept:
    """All that was kept of a migration.

    :param peer: the agreement; its CA is added where none was kept with the messages.
    :param cloud_name: this cloud.
    """

    row: Migration
    documents: Sequence[Message]
    peer: Peer | None
    timestamps: Sequence[Timestamp]
    events: Sequence[AuditEvent]
    cloud_name: str


def archive(kept: Kept) -> bytes:
    """The zip file."""
    found = {**files(kept), SUMMARY: summary(kept)}
    found[README] = by_hand.write(found)
    # The time is the migration's, so that the same evidence gives the same bytes.
    return zipped.pack(found, kept.row.finished_at or kept.row.updated_at)


def files(kept: Kept) -> dict[str, bytes]:
    """Everything that proves something, by name: what an archive timestamp covers."""
    documents = {message.kind: message.document for message in kept.documents}
    found = {message_file(kind): documents[kind] for kind in protocol.KINDS if kind in documents}
    for kind, role in _INTRODUCTIONS.items():
        if kind in documents:
            chain = protocol.claimed_party(documents[kind]).chain
            found[f"certificates/{role}.pem"] = blocks.encode(chain[:1], blocks.CERTIFICATE)
            if chain[1:]:
                found[f"certificates/{role}-issuers.pem"] = blocks.encode(chain[1:], blocks.CERTIFICATE)
    if "ca" in documents:
        found[ROOT] = documents["ca"]
    elif kept.peer is not None:
        found[ROOT] = pem.kept(kept.peer.ca_pem).encode()
    for kind, document in documents.items():
        if kind == "crl":
            if document:
                found[LISTS] = blocks.encode(_der_sequences(document), blocks.CRL)
        elif kind == "manifest":
            found[MANIFEST] = document
        elif kind.startswith("declaration-"):
            found[declaration_file(kind.removeprefix("declaration-"))] = document
        elif kind not in {*protocol.KINDS, "ca"}:
            found[f"other/{kind}"] = document
    return {**found, **_stamps(kept.timestamps), **_log(kept.events, kept.timestamps)}


def _stamps(timestamps: Sequence[Timestamp]) -> dict[str, bytes]:
    found = {}
    for one in timestamps:
        if one.response is not None:
            found[stamp_file(one.covers)] = one.response
            if one.listing is not None:
                found[listing_file(one.covers)] = one.listing.encode()
    roots = "".join(one.ca_pem for one in timestamps if one.ca_pem)
    if roots:
        found[ROOTS] = pem.kept(roots).encode()
    return found


def _log(events: Sequence[AuditEvent], timestamps: Sequence[Timestamp]) -> dict[str, bytes]:
    """The audit log, in files that end where an archive timestamp was made: what it covered does not change."""
    if not events:
        return {}
    first, last = events[0].number, events[-1].number
    names = [name for one in timestamps if one.listing for name in archived_names(one.listing)]
    ends = {int(found[1]) for name in names if (found := re.fullmatch(r"audit/\d+-(\d+)\.jsonl", name))}
    bounds = [first - 1, *sorted(end for end in ends if first <= end < last), last]
    return {
        f"audit/{begin + 1:06d}-{end:06d}.jsonl": "".join(
            f"{event.line}\n" for event in events if begin < event.number <= end
        ).encode()
        for begin, end in pairwise(bounds)
    }


def summary(kept: Kept) -> bytes:
    """What the evidence says of itself (JSON); signed by nobody."""
    row = kept.row
    said: dict[str, object] = {
        "migration_id": row.id,
        "kept_by": kept.cloud_name,
        "role": row.role,
        "peer": row.peer,
        "server_name": row.server_name,
        "phase": row.phase,
        "status": row.status,
        "documents": [
            {
                "kind": message.kind,
                "direction": message.direction,
                "at": message.at.isoformat(),
                "sha384": hashlib.sha384(message.document).hexdigest(),
            }
            for message in kept.documents
        ],
        "timestamps": [
            {
                "covers": one.covers,
                "at": one.stamped_at.isoformat() if one.stamped_at else None,
                "error": one.error,
            }
            for one in kept.timestamps
        ],
    }
    return json.dumps(said, indent=2).encode()


def _der_sequences(data: bytes) -> list[bytes]:
    """The DER values that stand one after the other in ``data``: each CRL says its own length."""
    found, start = [], 0
    while start + 2 <= len(data):
        length, header = data[start + 1], 2
        if length & 0x80:
            size = length & 0x7F
            length, header = int.from_bytes(data[start + 2 : start + 2 + size]), 2 + size
        found.append(data[start : start + header + length])
        start += header + length
    return found
