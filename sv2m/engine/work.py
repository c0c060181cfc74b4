# SPDX-License-Identifier: Apache-2.0
"""One migration in an engine's hands: its row, its transcript, its protocol machine, and how each is moved on.

The rule of this file: what was sent or received and the phase that follows from it are written in one transaction,
before anything relies on them. A step that is cut off at any instant is simply done again from the row.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from sv2m import errors, protocol
from sv2m.db import engine as database
from sv2m.db import messages, migrations, peers
from sv2m.db.models import Message, Migration, Peer
from sv2m.engine import decisions
from sv2m.engine.services import Services
from sv2m.evidence import pem
from sv2m.protocol import states

#: Seconds from one word about the progress to the next.
_PROGRESS_EVERY = 5.0


class Aborted(errors.LocalError):
    """The operator asked for the migration to be aborted."""

    code = "aborted"
    remedy = "The server runs on where it was. Move it again when it suits you."


def failure(error: errors.SV2MError) -> dict[str, str]:
    """The columns that tell the operator what went wrong."""
    return {
        "fault": error.fault,
        "error_code": error.code,
        "error_message": error.message,
        "error_remedy": error.remedy,
    }


@dataclass(frozen=True)
class Statement:
    """What this cloud has signed, and sends to nobody: evidence.

    :param kind: under which it is kept.
    :param digest: SHA-384 of the document.
    """

    kind: str
    digest: bytes
    document: bytes


#: In a row's ``state``: the theft of a key of the peer, in the words in which it was found.
_COMPROMISED = "compromised"


class Work:
    """A migration as it stands.

    :param stopping: set when this engine is to stop; waits end early.
    """

    def __init__(self, services: Services, migration_id: str, stopping: threading.Event) -> None:
        self.services = services
        self.id = migration_id
        self.stopping = stopping
        self.row: Migration
        self.peer: Peer
        #: The documents kept, by kind.
        self.documents: dict[str, bytes] = {}
        self._transcript: dict[str, protocol.Received] = {}
        self._told_progress = 0.0
        self.reload()

    @property
    def context(self) -> dict[str, Any]:
        """What goes with each call of a module: the id of the request that began the migration here, if one did."""
        return {"migration_id": self.id, "request_id": self.state.get("request_id") or f"migration-{self.id}"}

    def reload(self) -> None:
        """Read the row again, and what was kept since, and put the machine where they say.

        A document is written once and never changed, so one that was read is not read again: a Transfer is megabytes.
        """
        self.row, self.peer, kinds, new = database.transaction(self._read)
        self.documents.update({entry.kind: entry.document for entry in new})
        self._transcript.update(
            {
                entry.kind: protocol.Received(protocol.decode(entry.document), entry.digest, entry.document)
                for entry in new
                if entry.kind in protocol.KINDS
            }
        )
        # What an operator has purged meanwhile.
        for gone in self.documents.keys() - set(kinds):
            del self.documents[gone]
            self._transcript.pop(gone, None)
        self.machine = protocol.Migration.restore(
            self.row.role, self.services.conf.cloud_name, self.row.phase, dict(self._transcript)
        )

    def _read(self, session: Session) -> tuple[Migration, Peer, Sequence[str], Sequence[Message]]:
        row = migrations.get(session, self.id)
        kinds = messages.kinds(session, self.id)
        new = messages.list_for(session, self.id, [kind for kind in kinds if kind not in self.documents])
        return row, peers.get(session, row.peer), kinds, new

    # -- what is remembered -------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """References and undo bookkeeping, as last written."""
        return dict(self.row.state or {})

    def remember(self, also: Callable[[Session], None] | None = None, /, **state: Any) -> None:
        """Write down, before it is relied on, something that the next steps or an undo need.

        :param also: what else is written in the same transaction; if it raises, nothing is written.
        """
        self._advance(self.row.phase, also=also, state={**self.state, **state})

    def note(self, also: Callable[[Session], None] | None = None, /, **columns: Any) -> None:
        """Write other columns of the row.

        :param also: as :meth:`remember`.
        """
        self._advance(self.row.phase, also=also, **columns)

    def commit(self, *documents: tuple[str, protocol.Received | Statement], **columns: Any) -> None:
        """Move the row to the machine's phase, together with the documents that led there.

        :param documents: (direction, document) pairs in the order in which they happened.
        :raises PhaseConflict: somebody else moved the row on; nothing was written.
        """
        state = columns.pop("remember", None)
        if state is not None:
            columns["state"] = {**self.state, **state}
        self._advance(self.machine.phase, documents, **columns)

    def _advance(
        self,
        phase: str,
        documents: Sequence[tuple[str, protocol.Received | Statement]] = (),
        also: Callable[[Session], None] | None = None,
        **columns: Any,
    ) -> None:
        def write(session: Session) -> Migration:
            if also is not None:
                also(session)
            row = migrations.advance(session, self.id, self.row.phase, self.row.generation, phase, **columns)
            for direction, received in documents:
                messages.record(session, self.id, received.kind, direction, received.document, received.digest)
            return row

        # Only what was committed is believed. Whether a commit whose answer was lost was one, the next try finds out:
        # then the row has moved, and that is a PhaseConflict like any other.
        self.row = database.transaction(write)
        for _, received in documents:
            self.documents[received.kind] = received.document
            if isinstance(received, protocol.Received):
                self._transcript[received.kind] = received

    def keep_evidence(self, documents: Mapping[str, tuple[str, bytes]]) -> None:
        """Keep what accompanies the messages: certificates and revocation lists, by name."""

        def keep(session: Session) -> None:
            # What is kept already is no change: this may be repeated.
            for kind, (direction, document) in documents.items():
                messages.record(session, self.id, kind, direction, document, b"")

        database.transaction(keep)

    def kept(self, kind: str) -> bytes | None:
        """What :meth:`keep_evidence` kept under this name; None where it has kept nothing."""
        entry = database.transaction(lambda session: messages.find(session, self.id, kind))
        return None if entry is None else entry.document

    def keep_trust(self) -> None:
        """Keep what the peer's certificate was judged by: the agreement's CA, and the revocation lists of this time.

        Once: a step that is done again finds newer lists, and those are not the ones that it was judged by.
        """
        if self.kept("crl") is not None:
            return
        lists = self.services.cmm.revocation_lists(self.context)["crls_b64"]
        self.keep_evidence(
            {
                "ca": (messages.RECEIVED, pem.kept(self.peer.ca_pem).encode()),
                "crl": (messages.RECEIVED, b"".join(base64.b64decode(part) for part in lists)),
            }
        )

    def progress(self, status: Mapping[str, Any]) -> None:
        """Tell the operator how far the data has come: now and then, for each time is a row of the database written.

        :param status: an agent's, see :class:`sv2m.edm.ports.Status`.
        """
        now = time.monotonic()
        if status["bytes_done"] < status["bytes_total"] and now - self._told_progress < _PROGRESS_EVERY:
            return
        self._told_progress = now
        told = {name: status[name] for name in ("bytes_done", "bytes_total", "bytes_sent")}
        database.transaction(lambda session: migrations.record_progress(session, self.id, **told))

    # -- what is signed and verified ----------------------------------------------------------------------------

    def sign(self, actions: Sequence[protocol.Action]) -> protocol.Received:
        """Sign the one message that these actions send, and let the machine know it as sent.

        :returns: the signed document, not yet written down: pass it to :meth:`commit`.
        """
        (send,) = (action for action in actions if isinstance(action, protocol.Send))
        document = protocol.encode(send.message)
        answer = self.services.mam.sign(self.context, _b64(document))
        signed = base64.b64decode(answer["document_b64"])
        received = protocol.Received(send.message, base64.b64decode(answer["digest_b64"]), signed)
        self.machine.sent(received)
        return received

    def verify(self, document: bytes, kind: str, chain: Sequence[bytes] | None = None) -> protocol.Received:
        """Verify a document of the peer: its certificate by CMM, its signature by MAM.

        Up to the commit the certificate is judged as it is now: a no costs nobody anything, A's server goes on. From
        there on it counts as what it was when it was introduced. Otherwise a certificate that ends, a list that is not
        renewed or an agreement that is changed would let the server stand still for ever, at neither cloud.

        :param chain: the peer's chain where this very document brings it; later ones must be by the same certificate.
        :raises InvalidCertificate, InvalidSignature, MalformedMessage: it is not good.
        :raises PeerKeyCompromised: who signed it nobody knows, and no person has decided.
        """
        chain_b64 = [_b64(part) for part in (chain or self.peer_chain())]
        if kind in states.FROM_THE_COMMIT:
            self._check_keys(kind, chain_b64)
        else:
            self.check_peer(chain)
        answer = self.services.mam.verify(self.context, _b64(document), kind, chain_b64)
        message = protocol.decode(base64.b64decode(answer["document_b64"]))
        return protocol.Received(message, base64.b64decode(answer["digest_b64"]), document)

    def check_peer(self, chain: Sequence[bytes] | None = None) -> None:
        """That the peer's certificate is good now, by the agreement of now.

        :raises InvalidCertificate: it is not.
        :raises HostError: whether it is revoked cannot be known.
        """
        chain_b64 = [_b64(part) for part in (chain or self.peer_chain())]
        self.services.cmm.validate(self.context, chain_b64, self.row.peer, self.peer.ca_pem)

    def doubt_is_over(self) -> dict[str, None]:
        """The columns that no longer tell of a key that a person has accepted since."""
        told = self.row.error_code == errors.PeerKeyCompromised.code
        return dict.fromkeys(("fault", "error_code", "error_message", "error_remedy")) if told else {}

    def _check_keys(self, kind: str, chain_b64: list[str]) -> None:
        if decisions.accepts_key(self.row):
            return
        known = self.state.get(_COMPROMISED)
        try:
            if known is not None:
                # Once heard of it stays so, whatever becomes of the list that told of it.
                raise errors.PeerKeyCompromised(known)
            anchors = (self.kept("ca") or b"").decode() + "\n" + self.peer.ca_pem
            self.services.cmm.check_keys(self.context, chain_b64, anchors)
        except errors.PeerKeyCompromised as error:
            columns = {} if kind == "Closure" else failure(error)
            if known is None or columns.get("error_code", self.row.error_code) != self.row.error_code:
                self.note(state={**self.state, _COMPROMISED: error.message}, **columns)
            raise

    def peer_chain(self) -> tuple[bytes, ...]:
        """The peer's certificate chain, from the message that brought it."""
        kind = states.INTRODUCES["destination" if self.row.role == "source" else "source"]
        if kind not in self.documents:
            raise errors.UnexpectedMessage(f"nothing more is taken in migration {self.id}: its evidence was purged")
        return tuple(protocol.claimed_party(self.documents[kind]).chain)

    @property
    def accepted(self) -> protocol.Accepted:
        """B's decision, in the phases that only an accepted migration reaches."""
        decision = self.machine.message(protocol.TokenBA2).decision
        if not isinstance(decision, protocol.Accepted):
            raise errors.IllegalTransition("a refused migration goes no further")
        return decision

    # -- waiting ------------------------------------------------------------------------------------------------

    def check_abort(self) -> None:
        """Raise what must stop a step that can still be stopped.

        :raises Aborted: the operator asked.
        :raises LocalError: the offer's lifetime is over.
        """
        row = database.transaction(lambda session: migrations.get(session, self.id))
        if row.abort_requested:
            raise Aborted("the operator asked for an abort")
        if row.not_after is not None and datetime.now(UTC) > row.not_after:
            raise errors.LocalError(
                "the offer's lifetime ended before the migration was released",
                code="offer-expired",
                remedy="Raise [engine] offer_lifetime, or look why the transfer was slow, and try again.",
            )


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
