# SPDX-License-Identifier: Apache-2.0
"""What the people of a cloud have decided, by its word: the Declarations in an evidence folder.

They are that cloud's own, and were sent to nobody, so the other side's folder has none of them. Each is checked as a
message is: who has signed it, and whether it fits what was exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sv2m import errors, protocol
from sv2m.evidence.folder import Folder, declaration_file
from sv2m.evidence.report import BAD, GOOD, NOTE, Report
from sv2m.evidence.trust import Trusted
from sv2m.protocol.declaration import OF_ROLE
from sv2m.protocol.transcript import Transcript


@dataclass(frozen=True)
class Declared:
    """A Declaration that is its cloud's.

    :param role: of the cloud in the migration.
    :param undeniable: whether nobody but the cloud itself can have signed it: a list of today clears its certificate.
    """

    said: protocol.Declaration
    role: str
    undeniable: bool


def check(
    folder: Folder, transcript: Transcript, trusted: Mapping[str, Trusted | None], report: Report
) -> tuple[Declared, ...]:
    """The Declarations that are good.

    :param trusted: by role.
    """
    found = []
    for kind, document in folder.declarations.items():
        name = declaration_file(kind)
        try:
            one = _declared(kind, document, transcript, trusted)
        except errors.SV2MError as error:
            report.add(name, BAD, str(error))
            continue
        by = trusted[one.role]
        if by is not None and by.revoked is not None:
            report.add(name, NOTE, f"the {one.role}'s certificate was revoked: a thief of its key may have signed it")
            continue
        report.add(name, GOOD, f"declared by the {one.role}, signed, and it fits the messages")
        found.append(one)
    return tuple(found)


def _declared(
    kind: str, document: bytes, transcript: Transcript, trusted: Mapping[str, Trusted | None]
) -> Declared:
    said = protocol.decode_declaration(document)
    offer = transcript.message(protocol.Offer)
    roles = {offer.source.name: "source", offer.destination: "destination"}
    role = roles.get(said.cloud)
    if role is None or said.kind != kind or kind not in OF_ROLE[role]:
        raise errors.UnexpectedMessage(f"{said.cloud} cannot have declared {said.kind} here", code="wrong-party")
    by = trusted[role]
    if by is None:
        raise errors.InvalidSignature(f"the {role} that should have signed it is not known")
    protocol.verify(document, "Declaration", by.leaf)
    if (said.migration_id, said.sid) != (offer.migration_id, transcript.sid):
        raise errors.ReplayedMessage("it is about another migration, or another session")
    named = {
        protocol.Prepared: said.prepared_digest,
        protocol.Release: said.release_digest,
        protocol.Receipt: said.receipt_digest,
    }
    for message, digest in named.items():
        # It names what there was when it was made. What came later it need not name.
        there = message.__name__ in transcript
        if digest != protocol.NOTHING and (not there or transcript.digest(message) != digest):
            raise errors.UnexpectedMessage(f"it names another {message.__name__} than is here", code="wrong-document")
    return Declared(said, role, by.current)
