# SPDX-License-Identifier: Apache-2.0
"""The session: what binds all later messages, and the wrapped keys, to the four that opened it.

Source: protocol.md, "sid = SHA-384 over the canonical bytes of messages 1-4".
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256, sha384
from types import SimpleNamespace

from sv2m import errors
from sv2m.protocol import fields as check
from sv2m.protocol.wire.document import peek
from sv2m.protocol.wire.shapes import context_label

#: Messages 1 to 4.
OPENING = ("Offer", "TokenBA1", "TokenAB", "TokenBA2")


def session_id(documents: Sequence[bytes]) -> bytes:
    """SHA-384 of the four signed documents, one after the other, as they travelled.

    Nothing stands between them: each is one XML element, so the four can be told apart in only one way, and a
    third party computes the same with ``cat offer.xml tokenba1.xml tokenab.xml tokenba2.xml | sha384sum``.

    :returns: 48 bytes.
    :raises MalformedMessage: not one each of Offer, TokenBA1, TokenAB and TokenBA2, in this order, of one
        migration.
    """
    claims = [peek(document) for document in documents]
    if tuple(claim.kind for claim in claims) != OPENING or len({claim.migration_id for claim in claims}) != 1:
        raise errors.MalformedMessage(
            "a session is opened by Offer, TokenBA1, TokenAB and TokenBA2 of one migration"
        )
    return sha384(b"".join(documents)).digest()


def certificate_digest(certificate_der: bytes) -> bytes:
    """SHA-256 of a certificate's DER: how the tokens name it."""
    return sha256(certificate_der).digest()


def context_digest(
    migration_id: str,
    sid: bytes,
    *,
    source: str,
    destination: str,
    source_certificate_digest: bytes,
    destination_certificate_digest: bytes,
) -> bytes:
    """SHA-256 of the session's sv2m:Context: the OAEP label (OAEPparams) of every key wrapped in it.

    A key wrapped for one session, pair of clouds or pair of certificates therefore opens in no other.

    :returns: 32 bytes.
    :raises LocalError: a field is not what it may be.
    """
    check.identifier("context.migration_id", migration_id)
    check.octets("context.sid", sid, check.SHA384_BYTES)
    check.name("context.source", source)
    check.name("context.destination", destination)
    check.octets("context.source_certificate_digest", source_certificate_digest, check.SHA256_BYTES)
    check.octets("context.destination_certificate_digest", destination_certificate_digest, check.SHA256_BYTES)
    return context_label(
        SimpleNamespace(
            migration_id=migration_id,
            sid=sid,
            source=source,
            destination=destination,
            source_certificate_digest=source_certificate_digest,
            destination_certificate_digest=destination_certificate_digest,
        )
    )
