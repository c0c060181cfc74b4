# SPDX-License-Identifier: Apache-2.0
"""One migration, seen from one side: what is said to it changes its phase and says what to do next.

It does no I/O and reads no clock. An input that is not allowed, or does not fit what was said before, raises
and changes nothing. The shell's part of the bargain, for every step:

1. verify the peer's signature (signature.verify) before receive();
2. for each Send: sign it, call sent(), and store document and phase in one transaction;
3. only then let the document leave, or do the other actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sv2m import errors
from sv2m.protocol import actions as a
from sv2m.protocol import checks, outgoing, states
from sv2m.protocol import events as e
from sv2m.protocol.manifest import Manifest
from sv2m.protocol.messages import Closure, Message, Offer, Receipt, Release, TokenBA2, Transfer
from sv2m.protocol.todo import todo
from sv2m.protocol.trailer import Binding, check_named, read_trailer_context
from sv2m.protocol.transcript import M, Received, Transcript


class Migration:
    """A migration in its first phase.

    :param role: source or destination.
    :param me: name of our own cloud.
    """

    def __init__(self, role: str, me: str) -> None:
        if role not in states.TABLES:
            raise errors.LocalError("a role is source or destination", code="invalid-field")
        self.role = role
        self.me = me
        self._phase = states.FIRST[role]
        self._transcript = Transcript({})
        self._unsigned: Message | None = None
        self._manifest: Manifest | None = None

    @classmethod
    def restore(cls, role: str, me: str, phase: str, transcript: Mapping[str, Received]) -> Migration:
        """A migration as it was stored: its phase, and every signed message by kind, sent and received.

        :raises LocalError: no such role or phase, or the transcript is not one migration's.
        """
        migration = cls(role, me)
        if phase not in states.TABLES[role]:
            raise errors.LocalError(f"a {role} has no phase {phase[:40]}", code="invalid-field")
        migration._phase = phase
        migration._transcript = Transcript(transcript)
        return migration

    # -- what is known
    # ----------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """A key of states.TABLES[role]."""
        return self._phase

    @property
    def sid(self) -> bytes:
        """The session id. :raises IllegalTransition: messages 1 to 4 are not all there yet."""
        return self._transcript.sid

    @property
    def context_digest(self) -> bytes:
        """The OAEP label of this session's keys. :raises IllegalTransition: as sid."""
        return self._transcript.context_digest

    def message(self, cls: type[M]) -> M:
        """A message that was sent or received. :raises IllegalTransition: it was not yet."""
        return self._transcript.message(cls)

    def digest(self, cls: type[Message]) -> bytes:
        """SHA-384 of a signed message. :raises IllegalTransition: it was not yet sent or received."""
        return self._transcript.digest(cls)

    def binding(self) -> Binding:
        """What the trailer's signature binds the manifest to. :raises IllegalTransition: no Envelope yet."""
        return self._transcript.binding()

    def pending(self) -> list[a.Action]:
        """What is to be done in this phase after a restart: the phase's actions, and what to ask the peer
        again.
        """
        kind = states.ASKS.get(self._phase) if self.role == states.SOURCE_ROLE else None
        actions = todo(self.role, self._phase, self._transcript)
        if not actions and kind is not None and kind in self._transcript:
            return [a.Resend(kind)]
        return actions

    # -- inputs
    # -----------------------------------------------------------------------------------------------------

    def receive(self, received: Received, now: datetime) -> list[a.Action]:
        """Take a message of the peer, whose signature was verified.

        The very same document again changes nothing and gets the same answer again.

        :param now: UTC.
        :raises UnexpectedMessage: it may not come in this phase, or does not fit.
        :raises ReplayedMessage: another one of its kind was taken, or it is of another session.
        :raises IntegrityError: its keys or streams are not those of the plan.
        """
        self._require_all_signed()
        kind = received.kind
        if kind not in states.RECEIVES[self.role]:
            raise errors.UnexpectedMessage(f"a {self.role} does not receive {kind}")
        taken = self._transcript.get(kind)
        if taken is not None:
            return self._again(taken, received)
        trigger = _trigger(received.message)
        phase = states.TABLES[self.role][self._phase].get(trigger)
        if phase is None:
            raise errors.UnexpectedMessage(f"{trigger} does not come in phase {self._phase}")
        try:
            checks.check(self._transcript, received.message, self.me, now)
        except errors.IllegalTransition as error:
            # The message builds on one that was never exchanged, as a Release on a Prepared that B never
            # signed.
            raise errors.UnexpectedMessage(f"{trigger} does not fit: {error}") from error
        reply: Message | None = None
        if isinstance(received.message, Release) and phase in ("undoing", "undone"):
            reply = outgoing.refusal(self._transcript, received.message, received.digest, now)
        self._transcript = self._transcript.having(received)
        self._phase = phase
        taken_only = [a.Acknowledge(kind)] if isinstance(received.message, Closure) else []
        return [*taken_only, *self._send(reply)]

    def local(self, event: e.Event) -> list[a.Action]:
        """Take an event of our own side.

        :raises IllegalTransition: it may not happen in this phase.
        :raises LocalError: what it brings does not fit what was said before.
        """
        self._require_all_signed()
        trigger = type(event).__name__
        phase = states.TABLES[self.role][self._phase].get(trigger)
        if phase is None:
            raise errors.IllegalTransition(f"{trigger} is not possible in phase {self._phase}")
        self._require(event)
        message = outgoing.message_for(self.role, self._transcript, event)
        if message is not None:
            self._check_own(message, getattr(event, "now", None))
        self._phase = phase
        return self._send(message)

    def sent(self, received: Received) -> None:
        """The message of the last Send, signed.

        :raises IllegalTransition: that is not what was to be sent.
        """
        if self._unsigned is None or received.message != self._unsigned:
            raise errors.IllegalTransition(f"this {received.kind} is not what was to be signed")
        self._transcript = self._transcript.having(received)
        self._unsigned = None

    def check_trailer(self, signature: bytes, context: bytes, manifest: bytes) -> Manifest:
        """B, in verifying: whether a verified trailer's signature is this migration's, and the one that A named.

        :param signature: the trailer's ds:Signature, as the Transfer had it sealed.
        :param context: and manifest as signature.verify_manifest() returned them for it.
        :returns: the manifest; every received segment must match it (Manifest.compare).
        :raises MalformedMessage: either is malformed.
        :raises IntegrityError: the Transfer names another, or it binds another migration, session, envelope or keys,
            or other segments.
        """
        check_named(signature, self.message(Transfer).trailer_digest)
        if read_trailer_context(context) != self.binding():
            raise errors.IntegrityError(
                "the trailer's signature belongs to another migration, session or plan"
            )
        signed = Manifest.from_xml(manifest)
        signed.check(self.message(Transfer).streams)
        self._manifest = signed
        return signed

    # -- inside
    # -----------------------------------------------------------------------------------------------------

    def _send(self, message: Message | None) -> list[a.Action]:
        self._unsigned = message
        actions = todo(self.role, self._phase, self._transcript)
        return actions if message is None else [a.Send(message), *actions]

    def _again(self, taken: Received, received: Received) -> list[a.Action]:
        if taken.document != received.document:
            raise errors.ReplayedMessage(f"another {received.kind} of this migration was taken before")
        if self.role == states.SOURCE_ROLE:
            return []
        reply = states.REPLIES[received.kind]
        if reply is not None:
            return [a.Resend(reply)] if reply in self._transcript else []
        # An Envelope is answered when the landing place is ready; until then it is being worked on.
        return [] if self._phase == "landing" else [a.Acknowledge(received.kind)]

    def _require_all_signed(self) -> None:
        if self._unsigned is not None:
            raise errors.IllegalTransition(
                f"{type(self._unsigned).__name__} was to be signed first; call sent()"
            )

    def _require(self, event: e.Event) -> None:
        needed = states.NEEDS.get(type(event).__name__)
        if needed is not None and needed not in self._transcript:
            raise errors.IllegalTransition(f"{type(event).__name__} answers {needed}, and there is none yet")
        if isinstance(event, e.Restored) and self._manifest is None:
            raise errors.IllegalTransition("the trailer was not checked (check_trailer)")
        if isinstance(event, e.ChallengeDue) and event.destination.name != self.me:
            raise errors.LocalError("the challenge is to be in our own name", code="invalid-field")
        if isinstance(event, e.OfferRequested) and event.offer.source.name != self.me:
            raise errors.LocalError("the offer is to be in our own name", code="invalid-field")
        if isinstance(event, e.Committed) and event.now > self.message(Offer).not_after:
            raise errors.IllegalTransition("the offer's NotAfter has passed", code="deadline-passed")

    def _check_own(self, message: Message, now: datetime | None) -> None:
        try:
            checks.check(self._transcript, message, self.me, now)
        except errors.PeerError as error:
            raise errors.LocalError(
                f"our own {type(message).__name__} does not fit: {error.message}", code=error.code
            ) from error


def _trigger(message: Message) -> str:
    kind = type(message).__name__
    if isinstance(message, TokenBA2):
        return f"{kind}.{type(message.decision).__name__.lower()}"
    if isinstance(message, (Receipt, Closure)):
        return f"{kind}.{message.outcome}"
    return kind
