# SPDX-License-Identifier: Apache-2.0
"""What was said so far in one migration, by both sides, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from sv2m import errors
from sv2m.protocol import session
from sv2m.protocol.messages import KINDS, Envelope, Message, Offer, TokenBA1
from sv2m.protocol.trailer import Binding, keys_digest

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Received:
    """A signed message, the peer's or our own.

    :param message: decoded from what the signature covers.
    :param digest: SHA-384 of the signed document (signature.Verified.digest).
    :param document: the signed document as it travelled.
    """

    message: Message
    digest: bytes
    document: bytes

    @property
    def kind(self) -> str:
        """Offer, TokenBA1 and so on."""
        return type(self.message).__name__


class Transcript:
    """Signed messages by kind."""

    def __init__(self, documents: Mapping[str, Received]) -> None:
        for kind, received in documents.items():
            if kind not in KINDS or received.kind != kind:
                raise errors.LocalError(
                    f"the transcript has another message under {kind[:40]}", code="bad-transcript"
                )
        if len({received.message.migration_id for received in documents.values()}) > 1:
            raise errors.LocalError(
                "the transcript has messages of several migrations", code="bad-transcript"
            )
        self._documents = dict(documents)

    def __contains__(self, kind: str) -> bool:
        return kind in self._documents

    def get(self, kind: str) -> Received | None:
        """The signed message of a kind, if there is one."""
        return self._documents.get(kind)

    def having(self, received: Received) -> Transcript:
        """A transcript with one message more; this one stays as it is."""
        return Transcript({**self._documents, received.kind: received})

    def _entry(self, cls: type[M]) -> Received:
        try:
            return self._documents[cls.__name__]
        except KeyError:
            raise errors.IllegalTransition(f"there is no {cls.__name__} in this migration yet") from None

    def message(self, cls: type[M]) -> M:
        """The message of a class.

        :raises IllegalTransition: there is none yet.
        """
        message = self._entry(cls).message
        if not isinstance(message, cls):
            raise errors.IllegalTransition(f"the transcript's {cls.__name__} is another message")
        return message

    def digest(self, cls: type[Message]) -> bytes:
        """SHA-384 of the signed document."""
        return self._entry(cls).digest

    @property
    def migration_id(self) -> str | None:
        """The migration's id; None before the first message."""
        return next((received.message.migration_id for received in self._documents.values()), None)

    @property
    def has_session(self) -> bool:
        """Whether messages 1 to 4 are there."""
        return all(kind in self._documents for kind in session.OPENING)

    @property
    def sid(self) -> bytes:
        """The session id."""
        return session.session_id([self._entry(KINDS[kind]).document for kind in session.OPENING])

    @property
    def source_certificate_digest(self) -> bytes:
        """SHA-256 of A's leaf, as the Offer brought it."""
        return session.certificate_digest(self.message(Offer).source.chain[0])

    @property
    def destination_certificate_digest(self) -> bytes:
        """SHA-256 of B's leaf, as TokenBA1 brought it."""
        return session.certificate_digest(self.message(TokenBA1).destination.chain[0])

    @property
    def context_digest(self) -> bytes:
        """The OAEP label of this session."""
        offer = self.message(Offer)
        return session.context_digest(
            offer.migration_id,
            self.sid,
            source=offer.source.name,
            destination=offer.destination,
            source_certificate_digest=self.source_certificate_digest,
            destination_certificate_digest=self.destination_certificate_digest,
        )

    def binding(self) -> Binding:
        """What the trailer's signature must bind the manifest to."""
        offer, envelope = self.message(Offer), self.message(Envelope)
        return Binding(
            migration_id=offer.migration_id,
            sid=self.sid,
            source=offer.source.name,
            destination=offer.destination,
            generation=offer.generation,
            envelope_digest=self.digest(Envelope),
            keys_digest=keys_digest(envelope.keys),
        )
