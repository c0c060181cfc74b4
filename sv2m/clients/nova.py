# SPDX-License-Identifier: Apache-2.0
"""Nova: the server that leaves, the placeholder that arrives, and the hosts, by python-novaclient.

Implements :class:`sv2m.engine.ports.Servers`. Calls that change something are sent once. Where repeating
matters the caller looks first (:meth:`Nova.get`, :meth:`Nova.find_placeholders`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from novaclient import client as nova_client

from sv2m import errors
from sv2m.clients import cells, quotas
from sv2m.clients.cinder import ARRIVED, ARRIVED_KEY, MIGRATION_KEY
from sv2m.clients.failures import translated
from sv2m.clients.keystone import Keystone
from sv2m.clients.lost_requests import LostRequests
from sv2m.clients.polling import Polling

#: 2.74 pins a host, 2.73 gives locks a reason; 2.88 takes away the hypervisors' count of servers.
MICROVERSION = "2.87"
#: 2.73 shows why a server is locked.
_READ = "2.73"
#: 2.26 finds servers by their tags.
_FIND = "2.26"
#: forceDelete is as old as the API, and so are limits.
_FORCE_DELETE = _LIMITS = "2.1"
#: Seconds after which a server that is at rest in another status than was asked for will not come to it.
_AT_REST = 10.0
#: What [DEFAULT] reclaim_instance_interval makes of a deletion.
_SOFT_DELETED = "SOFT_DELETED"
#: What shows while Nova is doing what leads to a status.
_LEADS_TO = {"PAUSED": "pausing", "ACTIVE": "unpausing", "SUSPENDED": "suspending"}
#: From which a server comes to none of those by itself, nor by what was asked for before: it has ended, or is put away.
_ENDED = ("SHUTOFF", "SHELVED", "SHELVED_OFFLOADED", "RESCUE", "VERIFY_RESIZE")
_POWER = {0: "pending", 1: "running", 3: "paused", 4: "shutdown", 6: "crashed", 7: "suspended"}


@dataclass(frozen=True)
class Hypervisor:
    """A compute host, as Nova's resource tracker last reported it."""

    id: str
    """Also its resource provider's uuid in Placement."""
    name: str
    host: str
    usable: bool
    """Up and enabled."""
    servers: int


@dataclass(frozen=True)
class Flavor:
    """A flavor that a project may use."""

    id: str
    name: str
    vcpus: int
    memory_mb: int
    root_gb: int
    ephemeral_gb: int
    swap_mb: int
    extra_specs: dict[str, str]


class Nova:
    """Nova's API, as far as SV2M needs it."""

    def __init__(
        self,
        keystone: Keystone,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keystone = keystone
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()

    def get(self, server_id: str) -> dict[str, Any]:
        """A server of any project.

        :returns: id, name, status, vm_state, task_state (None when Nova does nothing with it), power, host,
            project_id, user_id, locked, config_drive, flavor (vcpus, ram, disk, ephemeral, swap,
            extra_specs), volume_ids, image_id (None when it boots from a volume), metadata, fault, lock_reason (None
            when it is not locked, or for no reason).
        :raises sv2m.errors.NotFound: there is no such server.
        :raises sv2m.errors.ServiceUnavailable: there may be, in a cell of Nova's that does not answer.
        """
        try:
            return self._read(server_id)
        except errors.NotFound:
            # So looks, too, what is to be deleted in a cell that does not answer.
            with cells.all_seen(self._client):
                return self._read(server_id)

    def _read(self, server_id: str) -> dict[str, Any]:
        with translated("Nova", f"read server {server_id}"):
            return _server(self._client(_READ).servers.get(server_id).to_dict())

    def pause(self, server_id: str) -> None:
        """Stop the server's vCPUs; its memory stays in the host."""
        self._act(server_id, "pause")

    def unpause(self, server_id: str) -> None:
        """Let a paused server's vCPUs go on."""
        self._act(server_id, "unpause")

    def suspend(self, server_id: str) -> None:
        """Save the server's memory to the host's disk and stop it."""
        self._act(server_id, "suspend")

    def lock(self, server_id: str, reason: str) -> None:
        """Keep the server's owner from changing it; the owner sees the reason. Locking twice is fine."""
        self._act(server_id, "lock", reason=reason)

    def unlock(self, server_id: str) -> None:
        """Give the server back to its owner; unlocking an unlocked server is fine."""
        self._act(server_id, "unlock")

    def reset_active(self, server_id: str) -> None:
        """Tell Nova that the server runs. Nova checks nothing: verify first."""
        self._act(server_id, "reset_state", "active")

    def create_placeholder(
        self,
        *,
        project_id: str,
        name: str,
        flavor_id: str,
        host: str,
        volume_ids: Sequence[str],
        image_id: str | None,
        port_ids: Sequence[str],
        migration_id: str,
    ) -> str:
        """Ask for the server that claims the room at B; do not wait.

        :param host: Nova's name of the compute host; empty leaves the choice to the scheduler.
        :param volume_ids: the first is the boot volume, unless ``image_id`` is given.
        :param port_ids: none gives a server without a NIC.
        :returns: the server's id.
        """
        devices = [
            {
                "uuid": volume_id,
                "source_type": "volume",
                "destination_type": "volume",
                "boot_index": 0 if number == 0 and image_id is None else -1,
                "device_type": "disk",
                "disk_bus": "virtio",
                # What becomes of the volume is decided by whoever may delete it, not by the server's
                # deletion.
                "delete_on_termination": False,
            }
            for number, volume_id in enumerate(volume_ids)
        ]
        with translated("Nova", f"make a placeholder server for migration {migration_id}"):
            made = self._client(project_id=project_id).servers.create(
                name,
                image_id,
                flavor_id,
                meta={MIGRATION_KEY: migration_id},
                tags=[_tag(migration_id)],
                block_device_mapping_v2=devices or None,
                nics=[{"port-id": port_id} for port_id in port_ids] if port_ids else "none",
                config_drive=False,
                host=host or None,
            )
            return str(made.id)

    def find_placeholders(self, migration_id: str, project_id: str) -> list[str]:
        """Ids of servers that :meth:`create_placeholder` made in a project for this migration, and that wait yet."""
        found = self._marked(MIGRATION_KEY, migration_id, project_id)
        return [one.id for one in found if ARRIVED_KEY not in one.metadata]

    def mark_placeholder(self, server_id: str, migration_id: str) -> None:
        """The server is a migration's placeholder and nothing else, whatever its project has written on it.

        Only for one that is locked: then nobody but an administrator can change its metadata.
        """
        with translated("Nova", f"mark server {server_id} as a placeholder"):
            servers = self._client().servers
            servers.set_meta(server_id, {MIGRATION_KEY: migration_id})
            if ARRIVED_KEY in servers.get(server_id).metadata:
                servers.delete_meta(server_id, [ARRIVED_KEY])

    def mark_arrived(self, server_id: str, migration_id: str) -> None:
        """The server is nobody's placeholder any more: no undoing of its migration may ever find it.

        Not even when its owner takes this mark off: the other one is gone with it.
        """
        with translated("Nova", f"mark server {server_id} as arrived"):
            self._client().servers.set_meta(server_id, {ARRIVED_KEY: migration_id, MIGRATION_KEY: ARRIVED})

    def has_arrived(self, server_id: str, migration_id: str) -> bool:
        """Whether :meth:`mark_arrived` marked this very server; its tag, which no lock protects, does not matter."""
        return self._metadata(server_id).get(ARRIVED_KEY) == migration_id

    def is_placeholder(self, server_id: str, migration_id: str) -> bool:
        """Whether this very server is a migration's placeholder yet, with or without its tag."""
        metadata = self._metadata(server_id)
        return metadata.get(MIGRATION_KEY) == migration_id and ARRIVED_KEY not in metadata

    def _metadata(self, server_id: str) -> dict[str, str]:
        """Of a server; that of none is empty."""
        try:
            return dict(self.get(server_id)["metadata"])
        except errors.NotFound:
            return {}

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        """Ids of servers that :meth:`mark_arrived` marked for this migration."""
        return [one.id for one in self._marked(ARRIVED_KEY, migration_id, project_id)]

    def _marked(self, key: str, migration_id: str, project_id: str) -> list[Any]:
        wanted = {"all_tenants": 1, "tags": _tag(migration_id)}
        # What is soft-deleted, and can be restored, Nova lists only to whoever asks for it.
        trash = {**wanted, "deleted": True, "soft_deleted": True}
        with cells.all_seen(self._client), translated("Nova", f"find the servers of migration {migration_id}"):
            servers = self._client(_FIND).servers
            found = list(servers.list(search_opts=wanted))
            found += [one for one in servers.list(search_opts=trash) if one.status == _SOFT_DELETED]
        # The answer decides into what a guest is restored and what is deleted. So the mark is looked at and not only
        # asked for; and anybody can put it on a server, but nobody on one in a project that is not his.
        return [one for one in found if one.metadata.get(key) == migration_id and one.tenant_id == project_id]

    def wait_for(
        self,
        server_id: str,
        statuses: Collection[str],
        timeout: float,
        *,
        ours: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Wait until the server has one of ``statuses`` and Nova does nothing more with it.

        :param timeout: seconds.
        :param ours: the server is locked for SV2M. What was asked for to that end, and lost, is asked for again.
        :param meanwhile: called at each look; what it raises ends the wait.
        :raises sv2m.errors.HostError: it is in ERROR (with Nova's fault), it has a status from which none of these
            comes, Nova does nothing with it although it is as it was, or the time is over.
        """
        wanted = " or ".join(sorted(statuses))
        resting: list[float] = []

        def done(server: dict[str, Any]) -> bool:
            if server["status"] in statuses and server["task_state"] is None:
                return True
            meanwhile()
            if server["status"] == "ERROR":
                raise errors.HostError(
                    f"Nova: server {server_id} is in ERROR: {server['fault'] or 'no fault given'}"
                )
            if server["status"] in (*_LEADS_TO, _SOFT_DELETED) and server["task_state"] is None:
                resting.append(self._clock())
            else:
                resting.clear()
            ended = server["status"] in _ENDED and server["task_state"] is None
            if ended or (resting and resting[-1] - resting[0] >= _AT_REST):
                raise errors.HostError(f"Nova: server {server_id} stays {server['status']}, and is not {wanted}")
            return False

        tasks = [_LEADS_TO[one] for one in statuses] if ours else ()
        return self._watch(server_id, done, timeout, wanted, tasks)

    def settle(self, server_id: str, timeout: float, ours: Collection[str] = ()) -> dict[str, Any]:
        """Wait until Nova does nothing more with a server, and return it as it is then.

        What Nova was asked for shows as a task before its answer to the question comes, and until it is done: a server
        that still looks untouched need not be.

        :param timeout: seconds.
        :param ours: tasks that SV2M has asked for, of a server that is locked for it. What is lost of them is asked for
            again.
        :raises sv2m.errors.NotFound: there is no such server.
        :raises sv2m.errors.HostError: the time is over.
        """
        return self._watch(server_id, lambda server: server["task_state"] is None, timeout, "done with its task", ours)

    def paused_by_us(self, server_id: str) -> bool:
        """Whether it was SV2M's own user who last asked Nova to pause a server, as Nova's record of actions says."""
        pause = self._last(server_id, "pause")
        return pause is not None and pause.user_id == self._keystone.user_id()

    def ended_by_itself(self, server_id: str) -> datetime | None:
        """When Nova found that a server had ended: then it asks itself for its stop, as nobody's user.

        :returns: None where somebody asked for the last stop in Nova's record of actions, or there is none.
        :raises sv2m.errors.NotFound: there is no such server.
        """
        stop = self._last(server_id, "stop")
        if stop is None or stop.user_id:
            return None
        return datetime.fromisoformat(stop.start_time).replace(tzinfo=UTC)

    def _last(self, server_id: str, action: str) -> Any:
        with translated("Nova", f"list the actions of server {server_id}"):
            actions = self._client().instance_action.list(server_id)
        found = [one for one in actions if one.action == action]
        return max(found, key=lambda one: one.start_time, default=None)

    def check_compute(self, host: str) -> None:
        """Whether a host's nova-compute reports to Nova; a disabled one does.

        :raises sv2m.errors.ServiceUnavailable: it does not.
        """
        if not any(one.up for one in cells.computes(self._client, host)):
            raise errors.ServiceUnavailable(f"nova-compute on {host} does not report to Nova; it has to be started")

    def delete(self, server_id: str, timeout: float) -> None:
        """Delete a server for good, locked or not, and wait until it is gone; that it is gone already is fine.

        By force, as Nova calls it: with ``[DEFAULT] reclaim_instance_interval`` an ordinary deletion stops a server
        and keeps it, and each further one makes it be kept anew.

        :param timeout: seconds.
        :raises sv2m.errors.HostError: Nova failed to delete it, or leaves it as it is, or the time is over.
        """
        resting: list[float] = []

        def failed(server: dict[str, Any]) -> bool:
            if server["task_state"] is not None:
                resting.clear()
            elif server["status"] == "ERROR":
                raise errors.HostError(
                    f"Nova: server {server_id} could not be deleted: {server['fault']}"
                )
            elif server["status"] == _SOFT_DELETED:
                # An ordinary deletion was under way. Meanwhile Nova ignores another one.
                self._force_delete(server_id)
            else:
                resting.append(self._clock())
            if resting and resting[-1] - resting[0] >= _AT_REST:
                raise errors.HostError(
                    f"Nova: server {server_id} is to be deleted and stays {server['status']}",
                    remedy="Look whether disable_terminate is set for it in Nova's database: then Nova takes deletions "
                    "and does nothing.",
                )
            return False

        with suppress(errors.NotFound):
            self._force_delete(server_id)
        with suppress(errors.NotFound):
            self._watch(server_id, failed, timeout, "deleted", ("deleting",))

    def _force_delete(self, server_id: str) -> None:
        with translated("Nova", f"delete server {server_id}"):
            self._client(_FORCE_DELETE).servers.force_delete(server_id)

    def check_quota(self, project_id: str, vcpus: int, memory_mb: int) -> None:
        """Whether a project may have one server more, of this size.

        :raises sv2m.errors.NoRoom: it may not; names the quotas, and what is missing.
        """
        with translated("Nova", f"read the quotas of project {project_id}"):
            limits = self._client(_LIMITS).limits.get(tenant_id=project_id)
            values = {one.name: int(one.value) for one in limits.absolute}
        quotas.check(
            quotas.Quota(f"Nova's of {what}", values.get(limit, -1), values.get(used, 0), wanted)
            for what, limit, used, wanted in (
                ("servers", "maxTotalInstances", "totalInstancesUsed", 1),
                ("vCPUs", "maxTotalCores", "totalCoresUsed", vcpus),
                ("MiB of memory", "maxTotalRAMSize", "totalRAMUsed", memory_mb),
            )
        )

    def hypervisors(self) -> list[Hypervisor]:
        """Every compute host."""
        with translated("Nova", "list hypervisors"):
            found = [one.to_dict() for one in self._client().hypervisors.list(detailed=True)]
        return [
            Hypervisor(
                id=str(one["id"]),
                name=one["hypervisor_hostname"],
                host=one["service"]["host"],
                usable=one["state"] == "up" and one["status"] == "enabled",
                servers=int(one.get("running_vms") or 0),
            )
            for one in found
        ]

    def flavors(self, project_id: str | None = None) -> list[Flavor]:
        """The flavors that a project may use: the public ones, and those it was given access to."""
        with translated("Nova", "list flavors"):
            found = [one.to_dict() for one in self._client(project_id=project_id).flavors.list(detailed=True)]
        return [
            Flavor(
                id=str(one["id"]),
                name=one["name"],
                vcpus=int(one["vcpus"]),
                memory_mb=int(one["ram"]),
                root_gb=int(one["disk"]),
                ephemeral_gb=int(one.get("OS-FLV-EXT-DATA:ephemeral") or 0),
                swap_mb=int(one.get("swap") or 0),
                extra_specs=dict(one.get("extra_specs") or {}),
            )
            for one in found
            if not one.get("OS-FLV-DISABLED:disabled")
        ]

    def _watch(
        self,
        server_id: str,
        done: Callable[[dict[str, Any]], bool],
        timeout: float,
        wanted: str,
        tasks: Collection[str],
    ) -> dict[str, Any]:
        """Wait until the server is done, and return it as it is then.

        :param tasks: those that are asked for again if they are lost.
        """
        end = self._clock() + timeout
        polling = Polling(self._sleep)
        lost = LostRequests(self._client, tasks, self._clock)
        while True:
            server = polling.look(lambda: self.get(server_id))
            if server is not None and done(server):
                return server
            if self._clock() >= end:
                raise errors.HostError(f"Nova: server {server_id} {_shown(server)} after {timeout:.0f} s, not {wanted}")
            if server is not None:
                polling.look(partial(lost.look, server))
            polling.pause()

    def _act(self, server_id: str, action: str, *args: Any, **kwargs: Any) -> None:
        with translated("Nova", f"{action.replace('_', ' ')} server {server_id}"):
            getattr(self._client().servers, action)(server_id, *args, **kwargs)

    def _client(self, microversion: str = MICROVERSION, *, project_id: str | None = None) -> Any:
        with self._lock:
            return nova_client.Client(
                microversion,
                session=self._keystone.session(project_id),
                endpoint_type=self._keystone.interface,
                region_name=self._keystone.region_name,
            )


def _tag(migration_id: str) -> str:
    return f"sv2m:{migration_id}"


def _shown(server: dict[str, Any] | None) -> str:
    return "cannot be read" if server is None else f"is {server['status']} (task {server['task_state']})"


def _server(body: dict[str, Any]) -> dict[str, Any]:
    if body["status"] == "UNKNOWN":
        # Of such a server Nova shows neither name nor metadata. It is neither there nor gone.
        raise errors.ServiceUnavailable(f"Nova: server {body['id']} is in a cell that does not answer")
    flavor = dict(body["flavor"])
    image = body.get("image")
    power = body.get("OS-EXT-STS:power_state")
    return {
        "id": body["id"],
        "name": body["name"],
        "status": body["status"],
        "vm_state": body.get("OS-EXT-STS:vm_state"),
        "task_state": body.get("OS-EXT-STS:task_state"),
        "power": _POWER.get(power or 0, str(power)),
        "host": body.get("OS-EXT-SRV-ATTR:host") or "",
        "project_id": body["tenant_id"],
        "user_id": body["user_id"],
        "locked": bool(body.get("locked")),
        "lock_reason": body.get("locked_reason"),
        "config_drive": bool(body.get("config_drive")),
        "flavor": flavor,
        "volume_ids": [str(one["id"]) for one in body.get("os-extended-volumes:volumes_attached") or ()],
        "image_id": image["id"] if isinstance(image, dict) and image else None,
        "metadata": dict(body.get("metadata") or {}),
        "fault": (body.get("fault") or {}).get("message", ""),
    }
