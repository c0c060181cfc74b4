# SPDX-License-Identifier: Apache-2.0
"""The conductor's RPC endpoint: what operators start and abort, and what peers send."""

from __future__ import annotations

import base64
import concurrent.futures
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import oslo_messaging
from sqlalchemy.orm import Session

from sv2m import errors, protocol, reporting
from sv2m.db import engine as database
from sv2m.db import messages, migrations, peers, unanswered
from sv2m.db.models import Migration
from sv2m.engine import deciding, landing
from sv2m.engine.services import Services
from sv2m.engine.work import Statement, Work
from sv2m.engine.worker import Workers
from sv2m.evidence.path import CLOCK_SKEW

LOG = logging.getLogger(__name__)

#: What B answers to each message; None where the protocol has no reply.
REPLY = {
    "Offer": "TokenBA1",
    "TokenAB": "TokenBA2",
    "Envelope": None,
    "Transfer": "Prepared",
    "Release": "Receipt",
    "Closure": None,
}
#: Phases after the landing place was ready, but for those of giving up.
LANDED = ("receiving", "verifying", "prepared", "resuming", "resumed", "settled", "closing", "closed")
#: Phases in which it runs here, and that is signed.
RUNS = ("resumed", "settled", "closing", "closed")
#: Seconds that a peer's request is held for the answer, before it is told to ask again.
PATIENCE = 20.0
#: Requests of one peer that are held so at the same time: a thread each, of those that answer everybody. Further ones
#: are taken all the same, and told at once to ask again.
HELD_FOR_A_PEER = 4
#: Requests that are held at the same time in all: half of the threads in which oslo.messaging answers.
HELD = 32


class Conductor:
    """Endpoint of topic ``sv2m-conductor``.

    RPC version history: 1.0 first version; 1.1 receive may be told not to wait; 1.2 report.
    """

    target = oslo_messaging.Target(version="1.2")

    def __init__(self, services: Services, workers: Workers) -> None:
        self._services = services
        self._workers = workers
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @oslo_messaging.expose
    def start_migration(self, context: dict[str, Any], migration_id: str) -> None:
        """Begin a migration whose row is in phase ``requested``."""
        self._workers.work_on(migration_id)

    @oslo_messaging.expose
    def abort_migration(self, context: dict[str, Any], migration_id: str) -> None:
        """The row says that an abort is wanted; the worker sees it at its next wait, or is woken to see it."""
        self._workers.work_on(migration_id)

    @oslo_messaging.expose
    def report(self, context: dict[str, Any], binary: str, host: str, version: str) -> None:
        """A program that has no database says that it runs."""
        reporting.written_down(binary[:64], host[:255], version[:64])

    @oslo_messaging.expose
    def receive(self, context: dict[str, Any], document_b64: str, wait: bool = True) -> dict[str, Any]:
        """Take one signed document of a peer; the same one again is the same question again.

        :param wait: whether the answer may be waited for, :data:`PATIENCE` seconds at most.
        :returns: ``{"status": 200 | 202 | 204, "document_b64": signed reply or None}``.
        :raises PeerError, PolicyError, NotFound: the message is not taken.
        """
        document = base64.b64decode(document_b64)
        peek = protocol.peek(document)
        if peek.kind not in REPLY:
            raise errors.UnexpectedMessage(f"{peek.kind} is not a message that a source sends")
        if peek.kind == "Offer":
            self._introduce(document, peek.migration_id)
        work = Work(self._services, peek.migration_id, self._workers.stopping)
        if work.row.role != "destination":
            raise errors.UnexpectedMessage("this cloud is the source of that migration")
        try:
            self._take(work, document, peek.kind)
        except errors.PhaseConflict:
            # Our own worker moved it on at this very moment; the peer asks again, and finds it settled.
            return {"status": HTTPStatus.ACCEPTED, "document_b64": None}
        if self._answer(work, peek.kind) is None and not self._workers.stopping.is_set():
            worker = self._workers.work_on(work.id)
            if wait and self._hold(work.row.peer):
                try:
                    concurrent.futures.wait([worker], PATIENCE)
                finally:
                    self._hold(work.row.peer, -1)
            work.reload()
        return self._answer(work, peek.kind) or {"status": HTTPStatus.ACCEPTED, "document_b64": None}

    def _hold(self, peer: str, more: int = 1) -> bool:
        """Count one more request of a peer that is held, or one less. :returns: whether it may be held."""
        with self._lock:
            if self._held[peer] + more > HELD_FOR_A_PEER or self._held.total() + more > HELD:
                return False
            self._held[peer] += more
            return True

    def _introduce(self, document: bytes, migration_id: str) -> None:
        """Make the row of an offer, if its signer is a peer with an agreement. Nothing else is believed yet."""
        party = protocol.claimed_party(document)
        with database.session() as session:
            if migrations.find(session, migration_id) is not None:
                return
            peer = peers.find(session, party.name)
        if peer is None or not peer.enabled or peer.direction == "outgoing":
            raise errors.AgreementError(
                f"no agreement of {self._services.conf.cloud_name} lets {party.name} send servers here",
                remedy="Ask the operators of the receiving cloud for an agreement (secure migration peer create).",
            )
        context = {"migration_id": migration_id, "request_id": f"migration-{migration_id}"}
        chain_b64 = [base64.b64encode(part).decode("ascii") for part in party.chain]
        self._services.cmm.validate(context, chain_b64, peer.name, peer.ca_pem)
        verified = self._services.mam.verify(
            context, base64.b64encode(document).decode("ascii"), "Offer", chain_b64
        )
        offer = protocol.decode(base64.b64decode(verified["document_b64"]))
        if not isinstance(offer, protocol.Offer) or offer.source.name != peer.name:
            raise errors.UnexpectedMessage("the offer names another source than its certificate")
        received = protocol.Received(offer, base64.b64decode(verified["digest_b64"]), document)
        machine = protocol.Migration("destination", self._services.conf.cloud_name)
        machine.receive(received, datetime.now(UTC))
        self._check_lifetime(offer)
        # Before anything is signed for it; once more where the row is made.
        with database.session() as session:
            self._check_waiting(session, peer.name)
        nonce = base64.b64decode(self._services.mam.nonce(context)["nonce_b64"])
        own = self._services.cmm.certificate(context)
        me = protocol.Party(
            self._services.conf.cloud_name, tuple(base64.b64decode(part) for part in own["chain_b64"])
        )
        (send,) = _messages(machine.local(protocol.ChallengeDue(me, nonce, datetime.now(UTC))))
        signed = self._services.mam.sign(
            context, base64.b64encode(protocol.encode(send.message)).decode("ascii")
        )
        if self._services.cmm.certificate(context)["chain_b64"] != own["chain_b64"]:
            # What names one certificate and is signed with another nobody would believe.
            raise errors.ServiceUnavailable("this cloud's certificate was renewed at this very moment; ask again")

        def enter(session: Session) -> bool:
            # One after the other: of two that come at once for the last place one gets it.
            peers.hold(session, peer.name)
            if migrations.find(session, migration_id) is not None:
                # The same offer arrived twice at the same moment; the other one's row is as good.
                return False
            self._check_waiting(session, peer.name)
            migrations.create(
                session,
                id=migration_id,
                role="destination",
                peer=peer.name,
                server_name=offer.needs.name,
                project_id=peer.project_id or "",
                phase=machine.phase,
                vm_generation=offer.generation,
                needs=offer.needs.to_dict(),
                not_after=offer.not_after,
            )
            messages.record(session, migration_id, "Offer", messages.RECEIVED, document, received.digest)
            said, digest = base64.b64decode(signed["document_b64"]), base64.b64decode(signed["digest_b64"])
            messages.record(session, migration_id, "TokenBA1", messages.SENT, said, digest)
            return True

        if database.transaction(enter):
            LOG.info("Migration %s: offered by %s", migration_id, peer.name)

    def _check_lifetime(self, offer: protocol.Offer) -> None:
        """:raises OfferTooLong: the offer asks to be held for longer than this cloud holds anything for a peer."""
        most = timedelta(seconds=self._services.conf.engine.longest_offer_lifetime)
        if offer.not_after - datetime.now(UTC) > most + CLOCK_SKEW:
            raise errors.OfferTooLong(
                f"the offer's NotAfter is {offer.not_after:%Y-%m-%d %H:%M:%S} UTC; "
                f"{self._services.conf.cloud_name} holds nothing for a peer for longer than {most}"
            )

    def _check_waiting(self, session: Session, peer: str) -> None:
        """Whether one more offer of a peer may wait. Its signature is good, so it takes nobody else's place.

        :raises TooManyOffers: not now.
        """
        waiting, most = unanswered.waiting(session, peer), self._services.conf.engine.unanswered_offers
        if waiting >= most:
            raise errors.TooManyOffers(f"{waiting} offers of {peer} wait for its answer; at most {most} may")

    def _take(self, work: Work, document: bytes, kind: str) -> None:
        """Verify a message and move the row on; one that was taken before changes nothing."""
        kept = work.documents.get(kind)
        if kept is not None:
            if kept != document:
                raise errors.ReplayedMessage(f"another {kind} of migration {work.id} was taken before")
            return
        received = work.verify(document, kind)
        try:
            actions = work.machine.receive(received, datetime.now(UTC))
        except errors.UnexpectedMessage:
            # It is really the source that asks, and too late: it hears why we gave up.
            self._check_not_given_up(work, kind)
            raise
        documents: list[tuple[str, protocol.Received | Statement]] = [(messages.RECEIVED, received)]
        if _messages(actions):
            # A Release that came after we had given up: the one answer, in the same transaction.
            landing.check_not_arrived(work)
            documents.append((messages.SENT, work.sign(actions)))
        columns: dict[str, Any] = {**work.doubt_is_over()}
        outcome = received.message.outcome if isinstance(received.message, protocol.Closure) else None
        if outcome == "taken-back" and work.row.phase != "resuming":
            # In resuming the host is asked first whether it runs.
            columns = deciding.heard_taken_back(work.row, runs=work.row.phase in RUNS)
        # A that hears of our failure withdraws; what our operator reads stays our own reason.
        if outcome == "withdrawn" and work.row.error_code is None:
            columns = {
                "fault": "peer",
                "error_code": "withdrawn",
                "error_message": f"{work.row.peer} withdrew before it released the server",
                "error_remedy": "Nothing: everything made for it here is removed.",
            }
        if kind == "Release":
            documents.extend(deciding.accepted_key(work))
        work.commit(*documents, **columns)

    def _answer(self, work: Work, kind: str) -> dict[str, Any] | None:
        reply = REPLY[kind]
        if reply is not None and reply in work.documents:
            document = base64.b64encode(work.documents[reply]).decode("ascii")
            return {"status": HTTPStatus.OK, "document_b64": document}
        phase = work.row.phase
        if kind == "Closure" and kind in work.documents:
            if work.machine.message(protocol.Closure).outcome == "taken-back":
                return self._answer_taken_back(work)
            # Taken, and what follows from it is durable; nobody waits for our tidying.
            return {"status": HTTPStatus.NO_CONTENT, "document_b64": None}
        if kind == "Envelope" and phase in LANDED:
            return {"status": HTTPStatus.NO_CONTENT, "document_b64": None}
        self._check_not_given_up(work, kind)
        return None

    @staticmethod
    def _answer_taken_back(work: Work) -> dict[str, Any] | None:
        """A asks what became of the VM here, which it has taken back: the Receipt, if there is one, or will be."""
        if "Receipt" in work.documents:
            document = base64.b64encode(work.documents["Receipt"]).decode("ascii")
            return {"status": HTTPStatus.OK, "document_b64": document}
        return None if work.row.phase == "resuming" else {"status": HTTPStatus.NO_CONTENT, "document_b64": None}

    @staticmethod
    def _check_not_given_up(work: Work, kind: str) -> None:
        """:raises RefusedByPeer: we have given up, for the reason that it says; only a Release is still answered."""
        if work.row.phase in ("undoing", "undone") and kind != "Release":
            raise errors.RefusedByPeer(_said(work.row), code=work.row.error_code or "gave-up")


def _said(row: Migration) -> str:
    """Why we gave up, for the other cloud: what is wrong inside ours (names of hosts, Nova's words) is not for it."""
    if row.error_message and row.fault not in ("host", "internal"):
        return str(row.error_message)
    return "the destination gave up for a reason of its own; its operators see it at this migration"


def _messages(actions: Sequence[protocol.Action]) -> list[protocol.Send]:
    return [action for action in actions if isinstance(action, protocol.Send)]
