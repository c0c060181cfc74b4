# SPDX-License-Identifier: Apache-2.0
"""Cinder: the volumes, their types, and the keys that encrypt them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sv2m import errors
from sv2m.clients import quotas
from sv2m.clients.keystone import Keystone
from sv2m.clients.polling import Polling
from sv2m.clients.rest import RestService

#: 3.67 made the project id in paths optional.
MICROVERSION = "3.67"
#: Metadata key by which everything that SV2M makes for a migration is found again.
MIGRATION_KEY = "sv2m_migration"
#: Metadata key of what has arrived. Then there is no migration's id under the other key any more: whoever owns it now
#: may take this mark off, and it is still nothing that an undoing finds.
ARRIVED_KEY = "sv2m_arrived"
#: What stands under :data:`MIGRATION_KEY` then.
ARRIVED = "arrived"
#: Seconds in which cinder-volume begins what it was asked for.
_BEGINS_WITHIN = 30.0
#: Of a volume with which Cinder is busy.
_UNDER_WAY = ("creating", "downloading", "deleting")
#: Of a volume that has attachments, or that Nova is about to attach or detach.
_ATTACHED = ("in-use", "reserved", "attaching", "detaching")


@dataclass(frozen=True)
class Encryption:
    """How a volume, or all volumes of a type, are encrypted."""

    provider: str
    cipher: str
    key_size: int
    control_location: str
    key_id: str = ""
    """Barbican's id of the key; empty for a type."""


@dataclass(frozen=True)
class Volume:
    """A volume."""

    id: str
    name: str
    status: str
    size_gb: int
    volume_type: str
    encrypted: bool
    multiattach: bool
    bootable: bool
    project_id: str
    servers: tuple[str, ...]
    """Servers that it is attached to."""
    metadata: Mapping[str, str]
    migration_status: str = ""
    """Of its migration to another storage; empty, ``success`` and ``error`` where none is under way."""
    group_id: str = ""
    """The group that it is in, if any."""
    created_at: datetime | None = None
    placed: bool = True
    """Whether it has a storage host. Cinder takes it from a volume that no host could make."""


@dataclass(frozen=True)
class VolumeType:
    """A volume type."""

    id: str
    name: str
    encryption: Encryption | None


class Cinder:
    """Cinder's API, as far as SV2M needs it."""

    def __init__(
        self,
        keystone: Keystone,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest = RestService(keystone, "Cinder", "block-storage", major=3, microversion=MICROVERSION)
        self._sleep = sleep
        self._clock = clock

    def volume(self, volume_id: str) -> Volume:
        """One volume, of whatever project."""
        body = self._rest.json(f"read volume {volume_id}", "GET", f"/volumes/{volume_id}")
        return _volume(body["volume"])

    def encryption(self, volume_id: str) -> Encryption | None:
        """How a volume is encrypted and by which key; None when it is not."""
        body = self._rest.json(
            f"read encryption of volume {volume_id}", "GET", f"/volumes/{volume_id}/encryption"
        )
        return _encryption(body) if body.get("encryption_key_id") else None

    def check_quota(self, project_id: str, size_gb: int) -> None:
        """Whether a project may have one volume more, of this size.

        :raises sv2m.errors.NoRoom: it may not; names the quotas, and what is missing.
        """
        doing = f"read the quotas of project {project_id}"
        body = self._rest.json(doing, "GET", "/limits", params={"project_id": project_id})["limits"]["absolute"]
        quotas.check(
            quotas.Quota(f"Cinder's of {what}", int(body.get(limit, -1)), int(body.get(used, 0)), wanted)
            for what, limit, used, wanted in (
                ("volumes", "maxTotalVolumes", "totalVolumesUsed", 1),
                ("GiB", "maxTotalVolumeGigabytes", "totalGigabytesUsed", size_gb),
            )
        )

    def snapshots(self, volume_id: str) -> list[str]:
        """Ids of a volume's snapshots, in whatever project."""
        params = {"all_tenants": "1", "volume_id": volume_id}
        body = self._rest.json(f"list snapshots of volume {volume_id}", "GET", "/snapshots", params=params)
        return [str(one["id"]) for one in body["snapshots"]]

    def types(self) -> list[VolumeType]:
        """All volume types with their encryption, which only an administrator sees."""
        found = []
        listed = self._rest.json("list volume types", "GET", "/types", params={"is_public": "None"})
        for one in listed["volume_types"]:
            body = self._rest.json(
                f"read encryption of volume type {one['name']}", "GET", f"/types/{one['id']}/encryption"
            )
            encryption = _encryption(body) if body.get("provider") else None
            found.append(VolumeType(one["id"], one["name"], encryption))
        return found

    def create(
        self,
        project_id: str,
        name: str,
        size_gb: int,
        *,
        volume_type: str | None = None,
        image_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Volume:
        """Ask for a volume in a project; it is not ready when this returns (see :meth:`wait_for`)."""
        wanted: dict[str, Any] = {"name": name, "size": size_gb, "metadata": dict(metadata or {})}
        if volume_type:
            wanted["volume_type"] = volume_type
        if image_id:
            wanted["imageRef"] = image_id
        body = self._rest.json(
            f"make volume {name}", "POST", "/volumes", json={"volume": wanted}, project_id=project_id
        )
        return _volume(body["volume"])

    def wait_for(self, volume_id: str, status: str, deadline: float) -> Volume:
        """Wait until a volume has a status.

        :param deadline: seconds from now.
        :raises sv2m.errors.HostError: the volume fell into an error status, or the deadline passed.
        """
        end = self._clock() + deadline
        polling = Polling(self._sleep)
        while True:
            volume = polling.look(lambda: self.volume(volume_id))
            if volume is not None and volume.status == status:
                return volume
            if volume is not None and volume.status.startswith("error"):
                raise errors.HostError(f"Cinder: volume {volume_id} is {volume.status} instead of {status}")
            if self._clock() >= end:
                shown = "cannot be read" if volume is None else f"is still {volume.status}"
                raise errors.HostError(f"Cinder: volume {volume_id} {shown} after {deadline:.0f} s")
            polling.pause()

    def set_bootable(self, project_id: str, volume_id: str) -> None:
        """Say that a server may boot from a volume."""
        self._rest.request(
            f"make volume {volume_id} bootable",
            "POST",
            f"/volumes/{volume_id}/action",
            json={"os-set_bootable": {"bootable": True}},
            project_id=project_id,
        )

    def find(self, migration_id: str) -> list[Volume]:
        """Volumes that were made for a migration and have not arrived, in whatever project."""
        return [one for one in self._marked(MIGRATION_KEY, migration_id) if ARRIVED_KEY not in one.metadata]

    def mark_arrived(self, migration_id: str, project_id: str) -> None:
        """The volumes of a project that :meth:`find` finds are its own from now on, and it finds them no more.

        May be repeated; one that its owner deletes at this moment is fine.
        """
        # Who knows the migration's id can put the mark on a volume of another project, where we may have no say.
        for volume in [one for one in self.find(migration_id) if one.project_id == project_id]:
            self._rest.request(
                f"mark volume {volume.id} as arrived",
                "POST",
                f"/volumes/{volume.id}/metadata",
                json={"metadata": {ARRIVED_KEY: migration_id, MIGRATION_KEY: ARRIVED}},
                project_id=project_id,
                accept=(404,),
            )

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        """Ids of volumes in a project that :meth:`mark_arrived` marked for a migration."""
        # Anybody can put the mark on a volume, but nobody on one in a project that is not his.
        return [one.id for one in self._marked(ARRIVED_KEY, migration_id) if one.project_id == project_id]

    def _marked(self, key: str, migration_id: str) -> list[Volume]:
        params = {"all_tenants": "1", "metadata": str({key: migration_id})}
        body = self._rest.json("list volumes", "GET", "/volumes/detail", params=params)
        found = [_volume(one) for one in body["volumes"]]
        # The answer decides what is deleted, so the mark is looked at and not only asked for.
        return [one for one in found if one.metadata.get(key) == migration_id]

    def delete(self, volume_id: str, deadline: float = 120.0) -> None:
        """Delete a volume and its key, and wait until it is gone; that it is gone already is fine.

        Of a volume that has no storage host (:attr:`Volume.placed`) Cinder leaves the key.

        :param deadline: seconds from now.
        :raises sv2m.errors.HostError: it cannot be deleted, or is still there at the deadline.
        """
        since = self._clock()
        end = since + deadline
        before = ""
        done: list[Callable[[str], None]] = []
        polling = Polling(self._sleep)
        while True:
            try:
                volume = polling.look(lambda: self.volume(volume_id))
            except errors.NotFound:
                return
            now = self._clock()
            if volume is None:
                if now >= end:
                    raise errors.HostError(f"Cinder: volume {volume_id} cannot be read after {deadline:.0f} s")
                polling.pause()
                continue
            status = volume.status
            if status != before:
                before, since = status, now
            wanted = None
            if status == "error_deleting" or _unheard(volume, now - since, deadline):
                wanted = self._delete_by_force
            elif status in _ATTACHED:
                wanted = self._end_attachments
            elif status not in _UNDER_WAY:
                wanted = self._delete
            if wanted is not None and wanted not in done:
                wanted(volume_id)
                done.append(wanted)
                end = max(end, now + _BEGINS_WITHIN)
            elif status == "error_deleting":
                raise errors.HostError(f"Cinder: volume {volume_id} could not be deleted ({status})")
            elif now >= end:
                raise errors.HostError(f"Cinder: volume {volume_id} is still {status} after {deadline:.0f} s")
            polling.pause()

    def _delete(self, volume_id: str) -> None:
        self._rest.request(f"delete volume {volume_id}", "DELETE", f"/volumes/{volume_id}", accept=(404,))

    def _delete_by_force(self, volume_id: str) -> None:
        """Delete a volume that takes no ordinary deletion any more, as an administrator does.

        It goes the same way, key first, and is refused for a volume that is attached, too. Where Cinder could not
        delete the key, because Barbican was away, this is the only one that it takes.
        """
        path, force = f"/volumes/{volume_id}/action", {"os-force_delete": dict[str, str]()}
        self._rest.request(f"delete volume {volume_id}", "POST", path, json=force, accept=(404,))

    def _end_attachments(self, volume_id: str) -> None:
        """Nova deletes a server although Cinder did not answer it, and leaves its volumes attached.

        Where the volume is connected Cinder asks Nova, and refuses if a server that is there has it.
        """
        doing = f"end the attachments of volume {volume_id}"
        params = {"all_tenants": "1", "volume_id": volume_id}
        for one in self._rest.json(doing, "GET", "/attachments", params=params)["attachments"]:
            # What is not asked for only, but looked at, before something is taken away.
            if one["volume_id"] == volume_id:
                self._rest.request(doing, "DELETE", f"/attachments/{one['id']}", accept=(404,))


def _unheard(volume: Volume, waited: float, deadline: float) -> bool:
    """Whether cinder-volume was never told, because the broker died with the message.

    Then the volume stays as it is until cinder-volume is started again. A deletion cannot be told from that of a large
    volume; but it does no harm to be told twice. To delete a volume by force that is being made would leave what is
    made of it: so that one is given all the time that there is, from its beginning.

    :param waited: seconds that it has been in this status.
    :param deadline: seconds.
    """
    if waited < min(_BEGINS_WITHIN, deadline):
        return False
    if volume.status == "creating" and volume.created_at is not None:
        return (datetime.now(UTC) - volume.created_at).total_seconds() >= deadline
    return volume.status == "deleting"


def _encryption(body: Mapping[str, Any]) -> Encryption:
    return Encryption(
        provider=str(body.get("provider") or ""),
        cipher=str(body.get("cipher") or ""),
        key_size=int(body.get("key_size") or 0),
        control_location=str(body.get("control_location") or ""),
        key_id=str(body.get("encryption_key_id") or ""),
    )


def _volume(body: Mapping[str, Any]) -> Volume:
    return Volume(
        id=body["id"],
        name=body.get("name") or "",
        status=body["status"],
        size_gb=int(body["size"]),
        volume_type=body.get("volume_type") or "",
        encrypted=bool(body.get("encrypted")),
        multiattach=bool(body.get("multiattach")),
        bootable=str(body.get("bootable")).lower() == "true",
        project_id=body.get("os-vol-tenant-attr:tenant_id") or "",
        servers=tuple(str(one["server_id"]) for one in body.get("attachments") or ()),
        metadata=dict(body.get("metadata") or {}),
        migration_status=body.get("migration_status") or "",
        group_id=body.get("group_id") or "",
        created_at=datetime.fromisoformat(body["created_at"]).replace(tzinfo=UTC) if body.get("created_at") else None,
        placed=bool(body.get("os-vol-host-attr:host", True)),
    )
