# SPDX-License-Identifier: Apache-2.0
"""At A, what a server needs at B: Nova's, Cinder's and libvirt's views of it put together, or why it cannot move."""

from __future__ import annotations

from typing import Any

from sv2m import errors, protocol
from sv2m.engine.marking import check_not_locked, check_not_released
from sv2m.engine.work import Work
from sv2m.protocol import luks

MOVABLE = ("ACTIVE", "PAUSED")
#: Of a volume's migration: none, or one that is over (cinder/volume/api.py asks the same before it begins another).
_NOT_MIGRATING = (None, "", "none", "success", "error")


def describe(work: Work, server: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The descriptor of a server, and the streams in which it will travel.

    :param server: from :class:`sv2m.engine.ports.Servers`; gets the key ``disks``: the same disks with volume ids.
    :returns: ``needs`` and the list of streams (id, kind, index, size, segment_size). Stream 0 is the signature's.
    :raises ServerNotMovable: naming what stands in the way.
    :raises HostError: it has been released, by a migration of which this database does not know.
    """
    if server["status"] not in MOVABLE:
        raise errors.ServerNotMovable(
            f"server {server['id']} is {server['status']}; SV2M moves servers that are {' or '.join(MOVABLE)}",
            remedy="Start or pause it first.",
        )
    if server["task_state"]:
        raise errors.ServerNotMovable(
            f"server {server['id']} is busy: {server['task_state']}", remedy="Wait until Nova has finished with it."
        )
    check_not_released(work, server)
    check_not_locked(work, server)
    if server["config_drive"]:
        raise errors.ServerNotMovable(f"server {server['id']} has a config drive")
    seen = work.services.edm.describe(work.context, server["host"], server["id"])
    _check_pace(work, seen)
    flavor = server["flavor"]
    volumes = {volume["serial"]: volume for volume in _volumes(work, server)}
    disks = []
    for disk in seen["needs"]["disks"]:
        volume = volumes.pop(disk.pop("serial", ""), None)
        disks.append(
            {
                **disk,
                "volume_gb": volume["size"] if volume else 0,
                "encrypted": bool(volume and volume["encrypted"]),
                "cipher": volume["cipher"] if volume else "",
                "key_size": volume["key_size"] if volume else 0,
                "volume_id": volume["id"] if volume else "",
            }
        )
    if volumes:
        raise errors.ServerNotMovable(f"volumes {', '.join(volumes)} are attached, but libvirt shows no such disk")
    if len(disks) != 1:
        raise errors.ServerNotMovable(
            f"server {server['id']} has {len(disks)} disks; one is moved", remedy="Detach the others."
        )
    server["disks"] = [dict(disk) for disk in disks]
    needs = {
        **seen["needs"],
        "name": server["name"],
        "vm": server["id"],
        "root_gb": flavor["disk"],
        "ephemeral_gb": flavor["ephemeral"],
        "swap_mb": flavor["swap"],
        "disks": [{key: value for key, value in disk.items() if key != "volume_id"} for disk in disks],
    }
    # One size for all streams, from their sum: the number of segments is bounded for the migration as a whole. B
    # derives it from the offer in the same way, and takes no other.
    size = protocol.segment_size(protocol.Needs.from_dict(needs).stream_bytes)
    protocol.check_travels(_surely_travels(needs), size)
    streams = [
        {**stream, "id": number, "segment_size": size}
        for number, stream in enumerate(seen["streams"], start=1)
    ]
    return needs, streams


def _surely_travels(needs: dict[str, Any]) -> list[int]:
    """Bytes of the streams that are sent whatever is in them; of other disks only the agent sees what is data.

    A guest's memory is not among them: what of it is zeros does not travel. An encrypted disk has no holes: what was
    never written on it reads as noise.
    """
    return [disk["size"] for disk in needs["disks"] if disk["encrypted"]]


def _check_pace(work: Work, seen: dict[str, Any]) -> None:
    """Refuse what the limits of this cloud never let arrive: memory travels while the server stands still."""
    engine = work.services.conf.engine
    rate = min((limit for limit in (engine.rate_limit, seen.get("rate_limit", 0)) if limit), default=0)
    allowed = min(engine.downtime_timeout, engine.offer_lifetime)
    memory = seen.get("resident_bytes", 0)
    if rate and memory > rate * allowed:
        raise errors.ServerNotMovable(
            f"it would stand still for {memory / rate:.0f} s, and may for {allowed} s: it has {memory >> 20} MiB "
            f"of memory, and the limit is {rate / (1 << 20):.1f} MiB/s",
            code="cannot-finish-in-time",
            remedy="Raise [engine] rate_limit and [agent] rate_limit_mib, downtime_timeout, or offer_lifetime.",
        )


def check_volume(work: Work, volume_id: str, server_id: str) -> dict[str, Any]:
    """A volume as Cinder shows it, if Cinder does nothing with it, and would delete it once its server runs at B.

    :raises ServerNotMovable: a backup, migration, retype, transfer or extension is under way, it has snapshots, or it
        is attached elsewhere.
    """
    volume: dict[str, Any] = work.services.volumes.get(volume_id)
    if volume["multiattach"]:
        raise errors.ServerNotMovable(f"volume {volume_id} may be attached to several servers (multiattach)")
    if volume["group"]:
        raise errors.ServerNotMovable(
            f"volume {volume_id} is in group {volume['group']}", remedy="Take it out of the group first."
        )
    if volume["status"] != "in-use" or volume["migration_status"] not in _NOT_MIGRATING:
        raise errors.ServerNotMovable(
            f"Cinder is busy with volume {volume_id}: its status is {volume['status']}, its migration's "
            f"{volume['migration_status'] or 'none'}",
            code="volume-busy",
            remedy="Wait until Cinder has finished with it.",
        )
    if set(volume["servers"]) != {server_id}:
        raise errors.ServerNotMovable(
            f"volume {volume_id} is attached to {', '.join(sorted(volume['servers'])) or 'nothing'}, says Cinder, and "
            "not to this server alone"
        )
    _check_no_snapshots(work, volume_id)
    return volume


def _check_no_snapshots(work: Work, volume_id: str) -> None:
    snapshots = work.services.volumes.snapshots(volume_id)
    if snapshots:
        raise errors.ServerNotMovable(
            f"volume {volume_id} has snapshots: {', '.join(snapshots)}",
            remedy="Delete them first: they do not go with the server, and keep its volume from being deleted.",
        )


def _volumes(work: Work, server: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for volume_id in server["volume_ids"]:
        volume = check_volume(work, volume_id, server["id"])
        encryption = work.services.volumes.encryption(volume_id) if volume["encrypted"] else {}
        if encryption:
            luks.check_opened_by_qemu(f"volume {volume_id}", encryption["provider"], encryption["control_location"])
            luks.container(encryption["cipher"], encryption["key_size"])
        found.append(
            {
                "id": volume_id,
                "serial": volume_id,
                "size": volume["size"],
                "encrypted": volume["encrypted"],
                "cipher": encryption.get("cipher", ""),
                "key_size": encryption.get("key_size", 0),
            }
        )
    return found
