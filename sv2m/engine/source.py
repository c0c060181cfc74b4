# SPDX-License-Identifier: Apache-2.0
"""What A does in each phase of a migration. Each function may be cut off anywhere and is then run again."""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from sv2m import errors, protocol
from sv2m.db import engine as database
from sv2m.db import messages, migrations
from sv2m.engine import deciding, describing, marking, sealing, trusting, unchanged
from sv2m.engine.asking import ask
from sv2m.engine.forgetting import forget_keys
from sv2m.engine.work import Work, failure
from sv2m.protocol.reach import Reach

LOG = logging.getLogger(__name__)

SENT, RECEIVED = messages.SENT, messages.RECEIVED


def offer(work: Work) -> None:
    """``requested``: may the operator, can the server, and what does it need? Then sign the offer."""
    row, services = work.row, work.services
    # A row that names no server is one that this process had answered for, and not yet looked at.
    if not row.server_id or (work.state.get("acl") and "copies" not in work.state):
        # Taken from an API process that was silent too long. The keys cannot be had without its caller's token.
        raise errors.HostError(
            "sv2m-api ended, or was silent, before it had looked at the server and copied the keys of its volumes",
            code="request-cut-off",
            remedy="Start a new migration. Where SV2M's user may still be on a key's access list, the engine's log has "
            "the command for the key's owner.",
        )
    server = services.servers.get(row.server_id or "")
    services.azm.may_start(
        work.context, work.state["credentials"], {"id": row.server_id, "project_id": row.project_id}, row.peer
    )
    needs, streams = describing.describe(work, server)
    lifetime = timedelta(seconds=services.conf.engine.offer_lifetime)
    not_after = datetime.now(UTC).replace(microsecond=0) + lifetime
    trusting.check_own(work, not_after)
    certificate = services.cmm.certificate(work.context)
    with database.session() as session:
        generation = migrations.next_vm_generation(session, row.server_id or "")
    message = protocol.Offer(
        migration_id=work.id,
        generation=generation,
        source=protocol.Party(
            services.conf.cloud_name, tuple(base64.b64decode(part) for part in certificate["chain_b64"])
        ),
        destination=row.peer,
        mode="paused",
        not_after=not_after,
        needs=protocol.Needs.from_dict(needs),
    )
    signed = work.sign(work.machine.local(protocol.OfferRequested(message)))
    work.commit(
        (SENT, signed),
        needs=needs,
        vm_generation=generation,
        host=server["host"],
        not_after=not_after,
        bytes_total=sum(stream["size"] for stream in streams),
        remember={
            "found": server["status"],
            "streams": streams,
            "volumes": [
                {"id": disk["volume_id"], "encrypted": disk["encrypted"], "size": disk["volume_gb"]}
                for disk in server["disks"]
                if disk["volume_id"]
            ],
        },
    )


def authenticate(work: Work) -> None:
    """``offered``: pass one and two of ISO 9798-3's three-pass exchange. B proves itself, then we do."""
    reply = ask(work, work.documents["Offer"])
    token = _reply(reply, "TokenBA1")
    party = protocol.claimed_party(token)
    # Verified before anything of the document but its certificates was looked at.
    received = work.verify(token, "TokenBA1", party.chain)
    work.machine.receive(received, datetime.now(UTC))
    trusting.check_peer(work, work.machine.message(protocol.Offer).not_after, party.chain)
    nonce = base64.b64decode(work.services.mam.nonce(work.context)["nonce_b64"])
    signed = work.sign(work.machine.local(protocol.TokenDue(nonce, datetime.now(UTC))))
    # Before the phase moves on: a kill in between would leave a migration without them.
    work.keep_trust()
    work.commit((RECEIVED, received), (SENT, signed))


def hear_decision(work: Work) -> None:
    """``authenticated``: pass three. B's signed word: accepted, with room held, or refused."""
    reply = _reply(ask(work, work.documents["TokenAB"]), "TokenBA2")
    received = work.verify(reply, "TokenBA2")
    work.machine.receive(received, datetime.now(UTC))
    columns: dict[str, Any] = {}
    refused = work.machine.message(protocol.TokenBA2).decision
    if isinstance(refused, protocol.Refused):
        told = errors.RefusedByPeer(f"{work.row.peer} refused: {refused.reason}", code=refused.code)
        columns = {"status": "refused", **failure(told)}
        try:
            forget_keys(work)
        except Exception as error:
            # Whatever it is, it must not cost us B's signed word. No key has left; tidying up destroys the copies.
            LOG.warning("Migration %s: refused, and its keys are not all destroyed yet: %s", work.id, error)
    work.commit((RECEIVED, received), **columns)


def wrap_keys(work: Work) -> None:
    """``accepted``: a VMK for this attempt alone, the VM's EIKs, both wrapped to B's fresh key."""
    km = work.services.km
    # Before any key goes over. An endpoint that is a name, the host's agent judges when it has resolved it.
    Reach.of(sealing.data_networks(work)).check(work.accepted.endpoint_host)
    copies = _copies(work)
    if "vmk_ref" not in work.state:
        work.remember(vmk_ref=km.make_vmk(work.context, work.id)["ref"])
    wrapped = km.wrap(
        work.context,
        work.id,
        work.state["vmk_ref"],
        copies,
        base64.b64encode(work.accepted.ephemeral_key).decode("ascii"),
        base64.b64encode(work.machine.context_digest).decode("ascii"),
    )
    keys = tuple(
        protocol.WrappedKey(
            name=key["name"],
            kind=key["kind"],
            size=key["size"],
            cipher_value=base64.b64decode(key["cipher_value_b64"]),
            commitment=base64.b64decode(key["commitment_b64"]),
        )
        for key in wrapped["keys"]
    )
    plans = tuple(
        protocol.StreamPlan(stream["id"], stream["kind"], stream["index"], stream["segment_size"])
        for stream in work.state["streams"]
    )
    signed = work.sign(work.machine.local(protocol.KeysWrapped(keys, plans)))
    work.commit((SENT, signed))


def open_landing(work: Work) -> None:
    """``enveloped``: B unwraps the keys and makes the landing place. Nothing of the VM has been touched yet."""
    ask(work, work.documents["Envelope"])
    work.machine.local(protocol.EnvelopeTaken())
    work.commit()


def send(work: Work) -> None:
    """``transferring``: the VM goes over, sealed, and the manifest of what went over is signed."""
    signed = work.sign(work.machine.local(sealing.seal(work)))
    work.commit((SENT, signed))


def hear_prepared(work: Work) -> None:
    """``transferred``: B verifies everything, restores the VM, holds it paused, and says so."""
    reply = _reply(ask(work, work.documents["Transfer"]), "Prepared")
    received = work.verify(reply, "Prepared")
    work.machine.receive(received, datetime.now(UTC))
    work.commit((RECEIVED, received))


def release(work: Work) -> None:
    """``prepared``: the commit. Once this transaction is durable the VM is B's, and A never resumes it by itself."""
    work.check_abort()
    # The last look that a revocation, an end or a new agreement can have: from the commit on they change nothing.
    work.check_peer()
    trusting.check_both(work)
    unchanged.check_before_release(work)
    now = datetime.now(UTC)
    signed = work.sign(work.machine.local(protocol.Committed(now)))
    work.commit((SENT, signed), remember={"released_at": now.isoformat()})


def hear_receipt(work: Work) -> None:
    """``released``: ask until B's signature says what became of the VM."""
    marking.mark_released(work)
    decision = deciding.instead_of_receipt(work.row)
    if decision is None:
        reply = _reply(ask(work, work.documents["Release"], committed=True), "Receipt")
        _take_receipt(work, work.verify(reply, "Receipt"))
    elif (received := deciding.last_word(work, decision)) is not None:
        _take_receipt(work, received)
    else:
        deciding.go_on_without_receipt(work, decision)


def _take_receipt(work: Work, received: protocol.Received) -> None:
    work.machine.receive(received, datetime.now(UTC))
    columns: dict[str, Any] = deciding.settled(work.row)
    receipt = work.machine.message(protocol.Receipt)
    if receipt.outcome == "resumed":
        columns["downtime_ms"] = _stopped_for(work, receipt)
        columns |= work.doubt_is_over()
    else:
        columns = failure(errors.RefusedByPeer(f"{work.row.peer} could not resume the server: {receipt.reason}"))
    work.commit((RECEIVED, received), *deciding.accepted_key(work), **columns)


def _stopped_for(work: Work, receipt: protocol.Receipt) -> int:
    """How long the guest stood still, in milliseconds: from when its pause was asked for to when B let it run.

    B has signed that time by its own clock, without the fraction of a second: the end of that second counts. It ran no
    earlier than the Release was signed here, and no later than the Receipt came: by however much the clocks differ, the
    figure is wrong by no more than the time between these two.
    """
    paused = datetime.fromisoformat(work.state["paused_at"])
    # An engine of an earlier release has not kept it. Nothing that is only shown may keep a Receipt from being taken.
    released = datetime.fromisoformat(work.state.get("released_at", work.state["paused_at"]))
    ran = min(max(receipt.at + timedelta(seconds=1), released), datetime.now(UTC))
    return int((ran - paused).total_seconds() * 1000)


def remove(work: Work) -> None:
    """``receipted``: B runs it, signed. Remove server, volumes and keys here; B is told next."""
    if not work.state.get("removed"):
        _remove(work)
    signed = work.sign(work.machine.local(protocol.Removed(datetime.now(UTC))))
    work.commit((SENT, signed), status="completed")


def relinquish(work: Work) -> None:
    """``relinquishing``: a person has decided that B has it. The same, without B's word; it is asked for it next."""
    _remove(work)
    work.machine.local(protocol.Relinquished())
    work.commit(status="completed", remember={"removed": True})


def _remove(work: Work) -> None:
    services = work.services
    if "ports" not in work.state:
        # Nova keeps a port that it did not make, such as that of a server which once arrived here.
        server_id = work.row.server_id or ""
        work.remember(ports=services.ports.made_for(server_id), others=services.ports.others_of(server_id))
    state = work.state
    services.servers.check_compute(work.row.host or "")
    services.servers.delete(work.row.server_id or "", services.conf.engine.landing_timeout)
    # "Removed" is signed for what is so: with its nova-compute away, Nova only forgets a server, and the host keeps it.
    services.edm.check_removed(work.context, work.row.host or "", work.row.server_id or "")
    services.edm.forget(work.context, work.row.host or "", work.id)
    for volume in state["volumes"]:
        # Cinder deletes the volume's EIK from Barbican before its data.
        services.volumes.delete(volume["id"], services.conf.engine.landing_timeout)
    for port in state["ports"]:
        services.ports.delete_port(port)
    _tell_of_ports(work)
    forget_keys(work)


def _tell_of_ports(work: Work) -> None:
    """A port that its owner made, as Heat and Terraform do, outlives the server, and keeps its MAC address."""
    if left := work.services.ports.still_there(work.state.get("others", [])):
        named = ", ".join(f"{port.id} ({port.mac_address})" for port in left)
        work.remember(
            notice=f"Ports that the server's owner had made stay here: {named}. Before the server comes back "
            "to this network they have to be deleted, for it brings its MAC addresses with it."
        )


def _copies(work: Work) -> list[str]:
    """The copies of the encrypted volumes' keys, in the order of the volumes, if each is still the volume's key.

    :raises ServerNotMovable: a volume has another key than was copied, or none was.
    """
    encrypted = [volume["id"] for volume in work.state["volumes"] if volume["encrypted"]]
    if not encrypted:
        return []
    found = work.services.km.find_eiks(work.context, encrypted, None, work.row.project_id)["eiks"]
    now = {eik["volume_id"]: eik["ref"] for eik in found}
    copied = {one["volume_id"]: one for one in work.state.get("copies", [])}
    for volume in encrypted:
        if volume not in copied or copied[volume]["ref"] != now.get(volume):
            raise errors.ServerNotMovable(
                f"volume {volume} has another key than when the migration was requested, or was attached since",
                remedy="Leave the server's volumes as they are, and start a new migration.",
            )
    return [copied[volume]["copy_ref"] for volume in encrypted]


def _reply(document: bytes | None, kind: str) -> bytes:
    if document is None:
        raise errors.UnexpectedMessage(f"the peer answered with nothing where {kind} was due")
    return document
