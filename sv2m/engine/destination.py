# SPDX-License-Identifier: Apache-2.0
"""What B does in each phase of a migration. Each function may be cut off anywhere and is then run again."""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from sv2m import errors, protocol
from sv2m.db import ledger, messages, peers
from sv2m.engine import deciding, decisions, landing, trusting
from sv2m.engine.placing import find_room
from sv2m.engine.sealing import MANIFEST, raise_if_failed
from sv2m.engine.work import Work, failure

LOG = logging.getLogger(__name__)

SENT = messages.SENT


def decide(work: Work) -> None:
    """``authenticated``: A has proved itself. May it, is this new, and is there room? Hold it, then say accepted."""
    services, offer = work.services, work.machine.message(protocol.Offer)
    needs = work.row.needs
    work.keep_trust()
    try:
        trusting.check_both(work)
        allowed = services.azm.may_accept(work.context, work.row.peer, needs)
        if not work.state.get("entered"):
            # Once, for ever: from here on no copy of this offer, and no older state of this VM, is accepted. In one
            # transaction with our own note of it, or a kill between the two would make us refuse our own entry.
            work.remember(lambda session: _enter(session, work, offer, allowed.get("migrations")), entered=True)
        landing.check_acceptable(work, needs, allowed["project_id"])
        endpoint = find_room(work, needs, allowed["project_id"])
    except (errors.PolicyError, errors.ReplayedMessage, errors.ServerNotMovable) as error:
        refuse(work, error)
        return
    ekb = services.km.make_ekb(work.context, work.id)
    work.remember(ekb_ref=ekb["ref"])
    accepted = protocol.Accepted(base64.b64decode(ekb["public_key_b64"]), endpoint["host"], endpoint["port"])
    work.commit((SENT, work.sign(work.machine.local(protocol.RoomHeld(accepted)))))


def _enter(session: Session, work: Work, offer: protocol.Offer, most: int | None) -> None:
    """Enter the offer into the ledger, if the agreement has a place left: counted and taken in the same transaction.

    What has only been offered takes no place, so nobody loses one to attempts that he, or A, has abandoned. And of two
    that ask at once for the last place one gets it: the agreement's row lets one after the other in.
    """
    peer = work.row.peer
    peers.hold(session, peer)
    asked = ledger.running(session, peer) + 1
    if most is not None and asked > most:
        raise errors.AgreementError(f"agreement {peer}: migrations limit {most}, asked {asked}")
    ledger.enter(session, work.id, peer, offer.needs.vm, offer.generation)


def refuse(work: Work, error: errors.SV2MError) -> None:
    """Say no, signed, with the reason, and keep nothing."""
    work.services.lmm.release(work.context, work.id)
    # An engine that was killed further on may have left a key; what was allowed then need not be allowed now.
    landing.destroy_session_keys(work)
    signed = work.sign(work.machine.local(protocol.RoomRefused(protocol.Refused(error.code, error.message))))
    work.commit(
        (SENT, signed),
        status="refused",
        fault="policy",
        error_code=error.code,
        error_message=error.message,
        error_remedy=error.remedy,
    )


def land(work: Work) -> None:
    """``landing``: the Envelope is verified. Keys into Barbican, volume, port, placeholder, agent ready to receive."""
    landing.make_place(work)
    work.machine.local(protocol.LandingReady())
    work.commit()


def verify_and_restore(work: Work) -> None:
    """``verifying``: every segment against A's signed manifest; then the VM is there, paused, and we say so."""
    services, host = work.services, work.row.host or ""
    transfer = work.machine.message(protocol.Transfer)
    opened = services.km.open_signature(
        work.context, work.state["vmk_ref"], base64.b64encode(transfer.sealed_signature).decode("ascii")
    )
    verified = services.mam.verify_manifest(
        work.context, opened["signature_b64"], [base64.b64encode(part).decode() for part in work.peer_chain()]
    )
    signature = base64.b64decode(opened["signature_b64"])
    work.machine.check_trailer(
        signature, base64.b64decode(verified["context_xml_b64"]), base64.b64decode(verified["manifest_b64"])
    )
    work.keep_evidence({MANIFEST: (messages.RECEIVED, signature)})
    raise_if_failed(services.edm.status(work.context, host, work.id), host)
    streams = [
        {"id": stream.id, "segments": stream.segments, "length": stream.length} for stream in transfer.streams
    ]
    services.edm.complete(work.context, host, work.id, verified["manifest_b64"], streams)
    status = services.edm.status(work.context, host, work.id)
    work.progress(status)
    work.commit((SENT, work.sign(work.machine.local(protocol.Restored()))))


def resume(work: Work) -> None:
    """``resuming``: A's Release is durable here. Run the VM, as an ordinary server, and sign the receipt."""
    if deciding.follow_about_guest(work) or deciding.undone_for_source(work):
        return
    services, server_id, host = work.services, work.state["server_id"], work.row.host or ""
    try:
        services.edm.check_restored(work.context, host, work.id, server_id)
    except errors.HypervisorError as error:
        running = services.edm.status(work.context, host, work.id)["state"] == "running"
        # It bears its mark only after it ran, whatever has become of what the agent knew.
        if not running and not services.servers.has_arrived(server_id, work.id):
            # Gone for good (a host that died takes its memory with it): the one case in which B may say so.
            signed = work.sign(work.machine.local(protocol.CannotResume(error.code, datetime.now(UTC))))
            work.commit((SENT, signed), **failure(error))
            return
        # It has run, before this engine or the one before it could say so, and what it did then the world has seen:
        # A's copy is an older state of it. That it has ended since is what may happen to any server.
        LOG.error("Migration %s: server %s was resumed here, and has ended since: %s", work.id, server_id, error)
    else:
        # Nova must call it ACTIVE before it runs, or its periodic task stops what it believes suspended.
        services.servers.reset_active(server_id)
        services.edm.resume(work.context, host, work.id, server_id)
        _put_up_ports(work)
    # Before A may delete its own: from here on nothing takes this one for a leftover, not even an engine whose database
    # was restored from a time at which it was one. What goes with it follows at once (landing has the order): the
    # Receipt, for which A's copy stands still, does not wait for Cinder and Neutron.
    services.servers.mark_arrived(server_id, work.id)
    signed = work.sign(work.machine.local(protocol.Resumed(datetime.now(UTC))))
    work.commit((SENT, signed), **{**deciding.settled(work.row), **deciding.overtaken(work)})


def _put_up_ports(work: Work) -> None:
    """The guest runs: nobody else speaks for its MAC address any more.

    Neither it nor the Receipt waits for a Neutron that is away: ``resumed`` does it once more.
    """
    try:
        work.services.ports.put_up(work.id, work.row.project_id)
    except errors.SV2MError as error:
        LOG.warning("Migration %s: the server runs, and its port is not up yet: %s", work.id, error)


def forget(work: Work) -> None:
    """``resumed`` and ``closing``: the VM runs here, signed, its owner's. The session's keys go; its own stay."""
    landing.hand_over(work.services, work.row)
    landing.remove_surplus(work)
    landing.destroy_session_keys(work)
    work.services.volumes.delete_blank_image(work.id)
    work.services.edm.forget(work.context, work.row.host or "", work.id)
    work.machine.local(protocol.Undone(datetime.now(UTC)))
    work.commit(status="completed")


def undo(work: Work) -> None:
    """``undoing``: nothing of the attempt stays here.

    :raises Conflict: it was declared lost, and runs: nothing is removed then, and the migration says so.
    """
    try:
        landing.remove_place(work)
    except errors.Conflict:
        if decisions.declares_lost(work.row) and work.row.error_code != deciding.TWO_COPIES:
            work.note(**deciding.runs_all_the_same(work.row))
        raise
    work.machine.local(protocol.Undone(datetime.now(UTC)))
    work.commit(status="aborted" if work.row.error_code in ("withdrawn", "aborted") else "failed")
