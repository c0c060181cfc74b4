# SPDX-License-Identifier: Apache-2.0
"""Whether a message fits what was said before it: one function per message, the same for what we get and what
we send.

Each takes the transcript without the message, the name of our own cloud, and the time; each raises a
PeerError. The signature has been verified before, with the certificate that introduced its sender.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hmac import compare_digest
from typing import Any, Final

from sv2m import errors
from sv2m.protocol import encryption
from sv2m.protocol.messages import (
    NOTHING,
    Accepted,
    Closure,
    Envelope,
    Message,
    Offer,
    Prepared,
    Receipt,
    Release,
    TokenAB,
    TokenBA1,
    TokenBA2,
    Transfer,
)
from sv2m.protocol.plan import DISK, MEMORY
from sv2m.protocol.segments import segment_size
from sv2m.protocol.transcript import Transcript


def check(transcript: Transcript, message: Message, me: str, now: datetime | None) -> None:
    """Check a message against the transcript.

    :param now: UTC; None skips deadlines, for messages of our own that carry their time themselves.
    :raises ReplayedMessage: of another session or migration.
    :raises UnexpectedMessage: names another party or document, or comes too late.
    :raises IntegrityError: its keys or streams are not those of the plan.
    """
    if transcript.migration_id not in (None, message.migration_id):
        raise errors.ReplayedMessage("the message belongs to another migration")
    _CHECKS[type(message)](transcript, message)
    if isinstance(message, Offer) and me not in (message.source.name, message.destination):
        raise errors.UnexpectedMessage(f"the offer is not for {me}", code="wrong-party")
    if now is not None and isinstance(message, _IN_TIME):
        not_after = message.not_after if isinstance(message, Offer) else transcript.message(Offer).not_after
        if now > not_after:
            raise errors.UnexpectedMessage(
                f"the {type(message).__name__} came after the offer's NotAfter",
                code="deadline-passed",
                remedy="Check the clocks of both clouds, or let the source offer again.",
            )


def _fresh(what: str, value: bytes, expected: bytes) -> None:
    if not compare_digest(value, expected):
        raise errors.ReplayedMessage(f"{what} is not this session's: the message belongs to another one")


def _names(what: str, value: bytes, expected: bytes) -> None:
    if not compare_digest(value, expected):
        raise errors.UnexpectedMessage(
            f"the message names another {what} than was exchanged", code="wrong-document"
        )


def _party(what: str, value: str | bytes, expected: str | bytes) -> None:
    if value != expected:
        raise errors.UnexpectedMessage(f"the message names another {what}", code="wrong-party")


def _offer(_: Transcript, message: Offer) -> None:
    if message.source.name == message.destination:
        raise errors.UnexpectedMessage("a cloud does not migrate to itself", code="wrong-party")


def _token_ba1(transcript: Transcript, message: TokenBA1) -> None:
    offer = transcript.message(Offer)
    _party("destination than the offer", message.destination.name, offer.destination)
    if message.destination.chain[0] == offer.source.chain[0]:
        # Reflection: somebody shows us our own certificate.
        raise errors.UnexpectedMessage("both clouds show the same certificate", code="wrong-party")


def _token(transcript: Transcript, message: TokenAB | TokenBA2) -> None:
    offer = transcript.message(Offer)
    _party("source", message.source, offer.source.name)
    _party("destination", message.destination, offer.destination)
    _party(
        "certificate for the source", message.source_certificate_digest, transcript.source_certificate_digest
    )
    _party(
        "certificate for the destination",
        message.destination_certificate_digest,
        transcript.destination_certificate_digest,
    )
    _names("Offer", message.offer_digest, transcript.digest(Offer))


def _token_ab(transcript: Transcript, message: TokenAB) -> None:
    _fresh("R_B", message.nonce_b, transcript.message(TokenBA1).nonce_b)
    if message.nonce_a == message.nonce_b:
        raise errors.ReplayedMessage("R_A repeats R_B")
    _token(transcript, message)


def _token_ba2(transcript: Transcript, message: TokenBA2) -> None:
    token = transcript.message(TokenAB)
    _fresh("R_A", message.nonce_a, token.nonce_a)
    _fresh("R_B", message.nonce_b, token.nonce_b)
    _token(transcript, message)
    if isinstance(message.decision, Accepted):
        encryption.check_recipient(message.decision.ephemeral_key)


def _envelope(transcript: Transcript, message: Envelope) -> None:
    _fresh("the session id", message.sid, transcript.sid)
    offer = transcript.message(Offer)
    _party("source", message.source, offer.source.name)
    _party("destination", message.destination, offer.destination)
    _party(
        "certificate for the source", message.source_certificate_digest, transcript.source_certificate_digest
    )
    _party(
        "certificate for the destination",
        message.destination_certificate_digest,
        transcript.destination_certificate_digest,
    )
    planned = sorted((stream.kind, stream.index) for stream in message.streams)
    if planned != sorted([(MEMORY, 0), *((DISK, disk.index) for disk in offer.needs.disks)]):
        raise errors.IntegrityError("the plan's streams are not the memory and the disks of the offer")
    # Derived, not chosen: it decides how much memory the receiver holds for the migration.
    size = segment_size(offer.needs.stream_bytes)
    if any(stream.segment_size != size for stream in message.streams):
        raise errors.IntegrityError(f"the plan's segments have not the {size} bytes that follow from the offer")
    if len(message.keys) - 1 != len(offer.needs.encrypted_disks):
        raise errors.IntegrityError("the Envelope has not one EIK for each encrypted disk of the offer")
    decision = transcript.message(TokenBA2).decision
    if not isinstance(decision, Accepted):
        raise errors.UnexpectedMessage("an Envelope came although the offer was refused")
    length = encryption.check_recipient(decision.ephemeral_key)
    if any(len(key.cipher_value) != length for key in message.keys):
        raise errors.IntegrityError("a key of the Envelope is not wrapped to this session's ekB")


def _transfer(transcript: Transcript, message: Transfer) -> None:
    _fresh("the session id", message.sid, transcript.sid)
    planned = transcript.message(Envelope).streams
    if [stream.id for stream in message.streams] != [stream.id for stream in planned]:
        raise errors.IntegrityError("the Transfer's streams are not those of the plan")
    for stream, plan in zip(message.streams, planned, strict=True):
        if stream.length > stream.segments * plan.segment_size:
            raise errors.IntegrityError(f"stream {stream.id} is longer than its segments can be")


def _state(transcript: Transcript, message: Prepared | Release | Receipt) -> None:
    _fresh("the session id", message.sid, transcript.sid)
    _names("Envelope", message.envelope_digest, transcript.digest(Envelope))
    _names("Transfer", message.transfer_digest, transcript.digest(Transfer))


def _release(transcript: Transcript, message: Release) -> None:
    _state(transcript, message)
    _names("Prepared", message.prepared_digest, transcript.digest(Prepared))
    # Both times are A's, so no clock skew can come between them. B's own clock does not matter here: as long
    # as B has not begun to undo, running the VM is safe however late the Release arrives, and nobody else
    # may.
    if message.released_at > transcript.message(Offer).not_after:
        raise errors.UnexpectedMessage(
            "the Release was given after the offer's NotAfter", code="deadline-passed"
        )


def _receipt(transcript: Transcript, message: Receipt) -> None:
    _state(transcript, message)
    _names("Release", message.release_digest, transcript.digest(Release))


def _closure(transcript: Transcript, message: Closure) -> None:
    _fresh("the session id", message.sid, transcript.sid)
    expected = transcript.digest(Receipt) if message.outcome == "removed" else NOTHING
    _names("Receipt", message.receipt_digest, expected)


_CHECKS: Final[dict[type[Message], Callable[[Transcript, Any], None]]] = {
    Offer: _offer,
    TokenBA1: _token_ba1,
    TokenAB: _token_ab,
    TokenBA2: _token_ba2,
    Envelope: _envelope,
    Transfer: _transfer,
    Prepared: _state,
    Release: _release,
    Receipt: _receipt,
    Closure: _closure,
}
#: What begins something new and therefore must not come after NotAfter.
_IN_TIME: Final = (Offer, TokenBA1, TokenAB, TokenBA2, Envelope, Transfer, Prepared)
