# SPDX-License-Identifier: Apache-2.0
"""Which message our own event makes us send, and how it is filled from the transcript."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sv2m.protocol import events as e
from sv2m.protocol.messages import (
    DECLARED_LOST,
    DECLARED_RUNNING,
    NOTHING,
    Accepted,
    Closure,
    Envelope,
    Message,
    Offer,
    Prepared,
    Receipt,
    Refused,
    Release,
    TokenAB,
    TokenBA1,
    TokenBA2,
    Transfer,
)
from sv2m.protocol.states import SOURCE_ROLE
from sv2m.protocol.transcript import Transcript

#: The Receipt's reason when the Release came to a destination that had given up.
GAVE_UP: Final = "gave-up"


def message_for(role: str, transcript: Transcript, event: e.Event) -> Message | None:
    """The message that an event makes us send; None when it makes us send none."""
    if isinstance(event, e.Undone):
        # Before there is a session B has held nothing yet that its own patience does not give back.
        if role != SOURCE_ROLE or not transcript.has_session or "Receipt" in transcript:
            return None
        outcome = "taken-back" if "Release" in transcript else "withdrawn"
        return _closure(transcript, outcome, NOTHING, event.now)
    make = _MESSAGES.get(type(event))
    return None if make is None else make(transcript, event)


def refusal(transcript: Transcript, release: Release, release_digest: bytes, now: datetime) -> Receipt:
    """The answer to a Release that came after we had given up."""
    return Receipt(
        migration_id=release.migration_id,
        sid=release.sid,
        outcome="refused",
        reason=GAVE_UP,
        envelope_digest=transcript.digest(Envelope),
        transfer_digest=transcript.digest(Transfer),
        release_digest=release_digest,
        at=now,
    )


def _token_ba1(transcript: Transcript, event: e.ChallengeDue) -> Message:
    return TokenBA1(transcript.message(Offer).migration_id, event.destination, event.nonce_b)


def _token_ab(transcript: Transcript, event: e.TokenDue) -> Message:
    offer, challenge = transcript.message(Offer), transcript.message(TokenBA1)
    return TokenAB(
        migration_id=offer.migration_id,
        nonce_a=event.nonce_a,
        nonce_b=challenge.nonce_b,
        source=offer.source.name,
        destination=offer.destination,
        source_certificate_digest=transcript.source_certificate_digest,
        destination_certificate_digest=transcript.destination_certificate_digest,
        offer_digest=transcript.digest(Offer),
    )


def _token_ba2(transcript: Transcript, decision: Accepted | Refused) -> Message:
    token = transcript.message(TokenAB)
    return TokenBA2(
        migration_id=token.migration_id,
        nonce_b=token.nonce_b,
        nonce_a=token.nonce_a,
        destination=token.destination,
        source=token.source,
        destination_certificate_digest=token.destination_certificate_digest,
        source_certificate_digest=token.source_certificate_digest,
        offer_digest=token.offer_digest,
        decision=decision,
    )


def _envelope(transcript: Transcript, event: e.KeysWrapped) -> Message:
    token = transcript.message(TokenAB)
    return Envelope(
        migration_id=token.migration_id,
        sid=transcript.sid,
        source=token.source,
        destination=token.destination,
        source_certificate_digest=token.source_certificate_digest,
        destination_certificate_digest=token.destination_certificate_digest,
        streams=event.streams,
        keys=event.keys,
    )


def _transfer(transcript: Transcript, event: e.Sealed) -> Message:
    envelope = transcript.message(Envelope)
    return Transfer(
        envelope.migration_id, envelope.sid, event.streams, event.trailer_digest, event.sealed_signature
    )


def _prepared(transcript: Transcript, _: e.Restored) -> Message:
    envelope = transcript.message(Envelope)
    return Prepared(
        envelope.migration_id, envelope.sid, transcript.digest(Envelope), transcript.digest(Transfer)
    )


def _release(transcript: Transcript, event: e.Committed) -> Message:
    envelope = transcript.message(Envelope)
    return Release(
        migration_id=envelope.migration_id,
        sid=envelope.sid,
        envelope_digest=transcript.digest(Envelope),
        transfer_digest=transcript.digest(Transfer),
        prepared_digest=transcript.digest(Prepared),
        released_at=event.now,
    )


def _receipt(transcript: Transcript, outcome: str, reason: str, at: datetime) -> Message:
    release = transcript.message(Release)
    return Receipt(
        migration_id=release.migration_id,
        sid=release.sid,
        outcome=outcome,
        reason=reason,
        envelope_digest=release.envelope_digest,
        transfer_digest=release.transfer_digest,
        release_digest=transcript.digest(Release),
        at=at,
    )


def _closure(transcript: Transcript, outcome: str, receipt_digest: bytes, at: datetime) -> Message:
    return Closure(transcript.message(Offer).migration_id, transcript.sid, outcome, receipt_digest, at)


_MESSAGES: Final[dict[type[Any], Callable[[Transcript, Any], Message]]] = {
    e.OfferRequested: lambda transcript, event: event.offer,
    e.ChallengeDue: _token_ba1,
    e.TokenDue: _token_ab,
    e.RoomHeld: lambda transcript, event: _token_ba2(transcript, event.accepted),
    e.RoomRefused: lambda transcript, event: _token_ba2(transcript, event.refused),
    e.KeysWrapped: _envelope,
    e.Sealed: _transfer,
    e.Restored: _prepared,
    e.Committed: _release,
    e.Resumed: lambda transcript, event: _receipt(transcript, "resumed", "none", event.now),
    e.CannotResume: lambda transcript, event: _receipt(transcript, "refused", event.code, event.now),
    e.DeclaredLost: lambda transcript, event: _receipt(transcript, "refused", DECLARED_LOST, event.now),
    e.DeclaredRunning: lambda transcript, event: _receipt(transcript, "resumed", DECLARED_RUNNING, event.now),
    e.Removed: lambda transcript, event: _closure(
        transcript, "removed", transcript.digest(Receipt), event.now
    ),
}
