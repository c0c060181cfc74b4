# SPDX-License-Identifier: Apache-2.0
"""At B, the place in which a VM lands: keys, volume, port, and a placeholder server that is Nova's own claim.

Everything made here carries the migration's id (as a name or as metadata), so that it is found and removed even when
the engine was killed between making it and writing down what it made.

What has arrived must never be found so, whatever an older database believes, and whatever its owner did with it. So the
marks are changed, in this order, each step repeatable:

1. the guest runs: from here on the agent refuses to undo it;
2. the server's mark: while the server is there, nothing of the migration is undone;
3. B signs and keeps its Receipt: the server is the tenant's;
4. the volume's and the port's marks: they are protected by themselves, the server may go;
5. the server is unlocked: its owner may delete it, and keep them.

Whoever finds the server's mark, or the volume's or the port's, on an older database does steps 4 and 5 once more.
"""

from __future__ import annotations

import base64
import logging
import time
from functools import partial
from typing import Any

from sv2m import errors, protocol
from sv2m.db import engine as database
from sv2m.db import peers
from sv2m.db.models import Migration
from sv2m.engine import decisions
from sv2m.engine.forgetting import destroy_keys
from sv2m.engine.lending import lent
from sv2m.engine.services import Services
from sv2m.engine.work import Work
from sv2m.protocol import luks

LOG = logging.getLogger(__name__)

#: The error code where the server that is to be undone has arrived and runs here.
ARRIVED_BEFORE = "arrived-before"
LOCK_REASON = "SV2M: migration {id} arrives here"
#: What the server's owner has to know of its port.
_CLOSED = (
    "The server's port lets nothing in or out: its security group, sv2m-arrived-{id}, has no rules. Add rules to it, "
    "or give the port other groups."
)
_OPEN = "Nothing filters what reaches the server: the network on which it landed has no port security."
#: Seconds for which a host is asked whether a guest runs there.
_PATIENCE = 20.0


def check_acceptable(work: Work, needs: dict[str, Any], project_id: str) -> None:
    """Refuse at the offer what could only fail later, after A has handed over the keys.

    :param project_id: in which the server would land.
    :raises ServerNotMovable: naming it.
    :raises NoRoom: no volume type of this cloud encrypts as A's does, or a quota of the project is too small.
    """
    services = work.services
    if needs["firmware"] != "bios":
        raise errors.ServerNotMovable(f"firmware {needs['firmware']}; bios is accepted")
    if len(needs["disks"]) != 1:
        raise errors.ServerNotMovable(f"{len(needs['disks'])} disks; one is accepted")
    disk = needs["disks"][0]
    protocol.check_travels([disk["size"]] if disk["encrypted"] else [], protocol.MAX_SEGMENT)
    if disk["encrypted"] and not disk["volume_gb"]:
        raise errors.ServerNotMovable("an encrypted disk that is not a volume")
    if disk["encrypted"]:
        luks.container(disk["cipher"], disk["key_size"])
        wanted = _agreed_volume_type(work, disk)
        services.km.check_volume_type(work.context, disk["cipher"], disk["key_size"], wanted)
    if len(needs["nics"]) > 1:
        raise errors.ServerNotMovable(f"{len(needs['nics'])} network interfaces; one is accepted")
    if needs["nics"]:
        _check_network(work, project_id, needs["nics"][0]["mac"])
    if not work.state.get("held"):
        # What is held for this server already may count among what the project has.
        _check_quotas(work, needs, project_id)


def _check_quotas(work: Work, needs: dict[str, Any], project_id: str) -> None:
    services, disk = work.services, needs["disks"][0]
    group = services.conf.engine.landing_security_group is None
    checks = [partial(services.servers.check_quota, project_id, needs["vcpus"], needs["memory_mb"])]
    if disk["volume_gb"]:
        checks.append(partial(services.volumes.check_quota, project_id, luks.volume_gb(disk)))
    if needs["nics"]:
        checks.append(partial(services.ports.check_quota, project_id, group=group))
    for check in checks:
        try:
            check()
        except (errors.HostError, errors.NotFound) as error:
            # Then it shows when the server lands.
            LOG.info("Migration %s: a quota of project %s cannot be known: %s", work.id, project_id, error)


def _check_network(work: Work, project_id: str, mac: str) -> None:
    ports = work.services.ports
    network = work.services.conf.engine.landing_network
    if not network:
        raise errors.ServerNotMovable(
            "this cloud has no network on which arriving servers land ([engine] landing_network)"
        )
    try:
        ports.network_id(project_id, network)
    except errors.NotFound as error:
        raise errors.ServerNotMovable(
            "the receiving project does not see the network on which arriving servers land ([engine] landing_network)"
        ) from error
    ports.check_mac(work.id, project_id, network, mac)


def make_place(work: Work) -> None:
    """Make what the Envelope's VM needs, up to an agent that waits for the data. May be repeated."""
    services, envelope = work.services, work.machine.message(protocol.Envelope)
    if arrived := find_arrived(services, work.row):
        raise _arrived_before(work, arrived)
    _unwrap(work, envelope)
    if "server_id" not in work.state:
        _make_server(work)
    server_id, host = work.state["server_id"], work.row.host or ""
    timeout = services.conf.engine.landing_timeout
    server = services.servers.wait_for(server_id, {"ACTIVE", "SUSPENDED"}, timeout)
    if server["host"] != host:
        raise errors.HostError(f"Nova put the placeholder on {server['host']}, the room was held on {host}")
    if server["status"] == "ACTIVE":
        if _locked_by_us(server, work.id):
            # It is locked when it is suspended, and ACTIVE again only as the server that has just arrived.
            raise _arrived_before(work, [f"server {server_id}"])
        services.servers.suspend(server_id)
        services.servers.wait_for(server_id, {"SUSPENDED"}, timeout)
    services.servers.lock(server_id, LOCK_REASON.format(id=work.id))
    # Until now the project could write on it; what is written there from now on is ours.
    services.servers.mark_placeholder(server_id, work.id)
    job = _job(work, envelope)
    # It has read them when it answers.
    with lent(work, host, [work.state["vmk_ref"], *work.state["eik_refs"]]):
        services.edm.start_destination(work.context, host, work.id, job)


def _unwrap(work: Work, envelope: protocol.Envelope) -> None:
    if "vmk_ref" in work.state:
        return
    keys = [
        {
            "name": key.name,
            "kind": key.kind,
            "size": key.size,
            "cipher_value_b64": base64.b64encode(key.cipher_value).decode("ascii"),
            "commitment_b64": base64.b64encode(key.commitment).decode("ascii"),
        }
        for key in envelope.keys
    ]
    context_digest = base64.b64encode(work.machine.context_digest).decode("ascii")
    refs = work.services.km.unwrap(work.context, work.id, work.state["ekb_ref"], keys, context_digest)
    encrypted = sum(disk["encrypted"] for disk in work.row.needs["disks"])
    if len(refs["eik_refs"]) != encrypted:
        raise errors.IntegrityError(f"{len(refs['eik_refs'])} disk keys for {encrypted} encrypted disks")
    work.remember(vmk_ref=refs["vmk_ref"], eik_refs=refs["eik_refs"])


def _make_server(work: Work) -> None:
    services, needs, state = work.services, work.row.needs, work.state
    # Found again after a kill between Nova's answer and our row: at most one is ever made.
    found = services.servers.find_placeholders(work.id, work.row.project_id)
    if found:
        work.remember(server_id=found[0])
        work.note(server_id=found[0])
        return
    volume_ids, image_id, port_ids = [], None, []
    disk = needs["disks"][0]
    if disk["volume_gb"]:
        if "volume_id" not in state:
            made = services.km.import_volume(
                work.context,
                work.id,
                project_id=work.row.project_id,
                name=needs["name"],
                size_gb=luks.volume_gb(disk),
                eik_ref=work.state["eik_refs"][0] if disk["encrypted"] else None,
                cipher=disk["cipher"],
                key_size=disk["key_size"],
                boot=disk["boot"],
                volume_type=_agreed_volume_type(work, disk),
            )
            work.remember(volume_id=made["volume_id"])
        volume_ids = [work.state["volume_id"]]
    else:
        image_id = services.volumes.blank_image(work.id, work.row.project_id)
    for nic in needs["nics"]:
        port_ids.append(_make_port(work, nic["mac"]))
    # The hold is handed over: Nova claims the same room for the server that it makes now. If somebody else's server
    # was quicker, Nova says so, A is told, and A's VM, which still runs, stays where it is.
    services.lmm.release(work.context, work.id)
    server_id = services.servers.create_placeholder(
        project_id=work.row.project_id,
        name=needs["name"],
        flavor_id=state["flavor_id"],
        host=work.row.host or "",
        volume_ids=volume_ids,
        image_id=image_id,
        port_ids=port_ids,
        migration_id=work.id,
    )
    work.remember(server_id=server_id)
    work.note(server_id=server_id)


def _make_port(work: Work, mac: str) -> str:
    own = work.services.conf.engine
    group: str | None = own.landing_security_group
    port = work.services.ports.create(work.id, work.row.project_id, own.landing_network, mac, group)
    notice = None
    if not port.security_groups:
        notice = _OPEN
    elif group is None:
        notice = _CLOSED.format(id=work.id)
    if notice is not None:
        work.remember(notice=notice)
        LOG.info("Migration %s: the owner is told of port %s: %s", work.id, port.id, notice)
    return str(port.id)


def _agreed_volume_type(work: Work, disk: dict[str, Any]) -> str | None:
    """The volume type that the agreement names for such a disk; None: the cloud's own choice."""
    with database.session() as session:
        agreement = peers.find(session, work.row.peer)
    types: dict[str, str] = agreement.volume_type_map if agreement is not None else {}
    return types.get(f"{disk['cipher']}-{disk['key_size']}" if disk["encrypted"] else "plain")


def _job(work: Work, envelope: protocol.Envelope) -> dict[str, Any]:
    needs, state = work.row.needs, work.state
    sizes = {("disk", disk["index"]): disk["size"] for disk in needs["disks"]}
    eiks = iter(state["eik_refs"])
    not_after = work.row.not_after
    return {
        "server_id": state["server_id"],
        "sid_b64": base64.b64encode(work.machine.sid).decode("ascii"),
        "vmk_ref": state["vmk_ref"],
        "needs": needs,
        "streams": [
            {
                "id": plan.id,
                "kind": plan.kind,
                "index": plan.index,
                "segment_size": plan.segment_size,
                "size": sizes.get((plan.kind, plan.index), needs["memory_mb"] << 20),
            }
            for plan in envelope.streams
        ],
        "disks": [
            {
                "index": disk["index"],
                "volume_id": state.get("volume_id"),
                "eik_ref": next(eiks) if disk["encrypted"] else None,
            }
            for disk in needs["disks"]
        ],
        "lifetime": max(1, int(not_after.timestamp() - time.time())) if not_after else 0,
    }


def remove_place(work: Work) -> None:
    """Remove all of it: agent's files, server, volume, port, image, keys, hold. May be repeated."""
    services, state = work.services, work.state
    timeout = services.conf.engine.landing_timeout
    if not state.get("held"):
        # Nothing was made before room was held; it may be held, and not written down. What bears the migration's id all
        # the same is of another life of it, of which this database does not know.
        services.lmm.release(work.context, work.id)
        return
    if arrived := find_arrived(services, work.row):
        # Our row is older than the truth: this database was restored from a backup, and perhaps somebody plays the
        # migration's messages to us again. The server has arrived, A has deleted its own.
        LOG.error("Migration %s: %s has arrived here; it stays as it is", work.id, arrived[0])
        work.note(
            error_code=ARRIVED_BEFORE,
            error_message=f"{arrived[0]} of this migration has arrived here; nothing of it was removed",
            error_remedy="Nothing, if this cloud's database was restored from a backup: the server is the right one.",
        )
        hand_over(services, work.row)
        services.lmm.release(work.context, work.id)
        destroy_session_keys(work)
        return
    servers = find_placeholders(services, work.row)
    if work.row.host and (servers or state.get("server_id")):
        # Also for a server that the row does not know: the agent refuses if the guest runs.
        abort_guest(services, work.context, work.row)
    # It has not arrived, and never will. When the placeholder is gone, nothing tells a forged mark from a true one.
    work.remember(given_up=True)
    for server_id in servers:
        services.servers.delete(server_id, timeout)
    services.km.remove_imported(work.context, work.id, work.row.project_id)
    services.volumes.delete_blank_image(work.id)
    services.ports.delete_for(work.id, work.row.project_id)
    services.lmm.release(work.context, work.id)
    destroy_session_keys(work)


def abort_guest(services: Services, context: dict[str, Any], row: Migration) -> None:
    """Have the agent undo what it has. May be repeated.

    Of a host that was declared lost nothing is expected: the placeholder is deleted in Nova, which destroys what it
    finds of it when the host comes back.

    :raises Conflict: the guest runs, and it is not to be undone; if it was declared lost, there are two copies.
    """
    lost, host = decisions.declares_lost(row), row.host or ""
    try:
        services.edm.abort(context, host, row.id)
    except errors.AgentLost as error:
        if not lost:
            raise
        LOG.warning("Migration %s: %s was declared lost: %s", row.id, host, error)
    except errors.Conflict:
        # Its journal knows that it was let run. If it has ended since, there is nothing to keep.
        if not lost or _runs(services, context, row):
            raise


def _runs(services: Services, context: dict[str, Any], row: Migration) -> bool:
    server_id = (row.state or {}).get("server_id", "")
    try:
        return services.edm.power(context, row.host or "", server_id, _PATIENCE) != "off"
    except errors.NotFound:
        return False


def check_not_arrived(work: Work) -> None:
    """Before B signs, for ever, that it does not run the server: that it does not.

    Only a database that is older than the truth gets here: it knows nothing of the Release that this B had taken. On
    B's word A would let its own copy run. So nothing is said, A waits on, and people look.

    :raises HostError: the server has arrived and runs here, or what it left when its owner deleted it.
    """
    if arrived := find_arrived(work.services, work.row):
        raise _arrived_before(work, arrived)


def find_placeholders(services: Services, row: Migration) -> set[str]:
    """Ids of the servers that wait for the migration's guest; also of one whose tag its project has taken off."""
    found = set(services.servers.find_placeholders(row.id, row.project_id))
    known = (row.state or {}).get("server_id")
    return found | {known} if known and services.servers.is_placeholder(known, row.id) else found


def find_arrived(services: Services, row: Migration) -> list[str]:
    """What has arrived in a migration and is its owner's, whatever the database says: "server ID", "volume ID" …

    The server is marked before the others. So where a placeholder waits, or waited until it was given up, a volume or
    port that bears the mark was given it by somebody in the project, who would have us leave everything as it is.
    """
    servers = _arrived_servers(services, row)
    if not servers and ((row.state or {}).get("given_up") or find_placeholders(services, row)):
        return []
    found = {
        "server": servers,
        "volume": services.volumes.find_arrived(row.id, row.project_id),
        "port": services.ports.find_arrived(row.id, row.project_id),
    }
    return [f"{kind} {one}" for kind, ids in found.items() for one in ids]


def _arrived_servers(services: Services, row: Migration) -> list[str]:
    found = services.servers.find_arrived(row.id, row.project_id)
    known = (row.state or {}).get("server_id")
    if known and known not in found and services.servers.has_arrived(known, row.id):
        return [*found, known]
    return found


def hand_over(services: Services, row: Migration) -> None:
    """What has arrived is its owner's: no undoing finds it by its mark any more, and he may do with it what he likes.

    The server bears its mark already. May be repeated.
    """
    services.volumes.mark_arrived(row.id, row.project_id)
    services.ports.mark_arrived(row.id, row.project_id)
    for server_id in _arrived_servers(services, row):
        try:
            server = services.servers.get(server_id)
        except errors.NotFound:
            continue
        # Somebody else's lock stays: it may be long since that the server arrived.
        if _locked_by_us(server, row.id):
            services.servers.unlock(server_id)


def remove_surplus(work: Work) -> None:
    """Remove placeholders beside the one that became the server; it bears another mark. May be repeated.

    Two engines that both took the landing for theirs, because one had been silent for too long, may each have made one.
    """
    for server_id in find_placeholders(work.services, work.row):
        LOG.warning("Migration %s: placeholder %s is one too many; it is removed", work.id, server_id)
        work.services.servers.delete(server_id, work.services.conf.engine.landing_timeout)


def _locked_by_us(server: dict[str, Any], migration_id: str) -> bool:
    return bool(server["locked"]) and server["lock_reason"] == LOCK_REASON.format(id=migration_id)


def _arrived_before(work: Work, arrived: list[str]) -> errors.HostError:
    return errors.HostError(
        f"{arrived[0]} of migration {work.id} has arrived here: nothing is made once more, and that the server does "
        "not run here is not signed",
        code=ARRIVED_BEFORE,
        remedy="Tell the source's operators that the server is here: only they can remove theirs.",
    )


def destroy_session_keys(work: Work) -> None:
    """VMK, ekB's private half and the transit copies of EIKs: their time is over."""
    state = work.state
    refs = [state.get("vmk_ref"), state.get("ekb_ref"), *state.get("eik_refs", [])]
    if state.get("held"):
        destroy_keys(work, [ref for ref in refs if ref])
