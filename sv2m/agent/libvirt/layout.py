# SPDX-License-Identifier: Apache-2.0
"""How a running domain is built: what a migration takes at its beginning, and looks at again until it is released.

Everything here may be changed by somebody else while the disks are copied: a backup tool puts an overlay on a disk, a
volume is extended, a NIC is unplugged. What was copied by then is not the guest's newest state any more, or the
destination's machine does not fit it. So nothing of it is remembered and trusted: it is compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import libvirt

from sv2m.agent.libvirt import monitor
from sv2m.agent.libvirt.domain import aliases, facts
from sv2m.errors import HypervisorError, ServerChanged

#: The form of a domain's XML in which a source and a destination are compared.
MIGRATABLE = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE


@dataclass(frozen=True)
class Bitmap:
    """A dirty bitmap of QEMU: its name, bytes that are marked in it, and whether writes are still recorded."""

    name: str
    count: int
    recording: bool


@dataclass(frozen=True)
class OpenDisk:
    """A disk as QEMU has it open.

    :param node: the block node that the guest's device writes to.
    :param chain: format and file of that node, then of every backing image below it.
    :param size: bytes that the guest sees.
    """

    node: str
    chain: tuple[str, ...]
    size: int
    logical_block_size: int
    physical_block_size: int


@dataclass(frozen=True)
class Layout:
    """A domain's disks by their targets, and its other devices as :class:`sv2m.agent.libvirt.domain.DomainFacts`."""

    disks: Mapping[str, OpenDisk]
    nics: tuple[tuple[str, str, int], ...]
    devices: tuple[str, ...]
    addresses: tuple[str, ...]
    vcpus: int
    memory_kib: int

    def to_json(self) -> str:
        """For a restarted agent."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """What :meth:`to_json` gave. :raises ValueError: it is not."""
        plain = json.loads(text)
        try:
            return cls(
                disks={
                    target: OpenDisk(**{**disk, "chain": tuple(disk["chain"])})
                    for target, disk in plain["disks"].items()
                },
                nics=tuple((mac, model, mtu) for mac, model, mtu in plain["nics"]),
                devices=tuple(plain["devices"]),
                addresses=tuple(plain["addresses"]),
                vcpus=plain["vcpus"],
                memory_kib=plain["memory_kib"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError("this is no layout") from error


def read_layout(domain: Any) -> Layout:
    """The layout of a running domain as it is now.

    :raises HypervisorError: QEMU or libvirt does not answer, or does not know all of its disks.
    """
    found = facts(domain.XMLDesc(MIGRATABLE))
    disks = open_disks(domain)
    for disk in found.disks:
        if disk.target not in disks:
            raise HypervisorError(f"QEMU knows no disk {disk.target}")
    return Layout(
        disks={disk.target: disks[disk.target] for disk in found.disks},
        nics=tuple((nic["mac"], nic["model"], nic["mtu"]) for nic in found.nics),
        devices=found.devices,
        addresses=found.addresses,
        vcpus=found.vcpus,
        memory_kib=found.memory_kib,
    )


def check_layout(before: Layout, domain: Any) -> None:
    """Compare a running domain with what it was.

    :raises ServerChanged: with a code that says what has changed, and a message that says how.
    """
    job = next(iter(monitor.command(domain, "query-block-jobs")), None)
    if job is not None:
        raise ServerChanged(f"QEMU works on a disk of this server: a block job of type {job['type']}", code="disk-busy")
    now = read_layout(domain)
    _check_devices(before, now)
    for target, was in before.disks.items():
        disk = now.disks[target]
        if disk.size != was.size:
            message = f"disk {target} had {was.size} bytes when it was offered, and has {disk.size} now"
            raise ServerChanged(message, code="disk-resized")
        if (disk.node, disk.chain) != (was.node, was.chain):
            message = (
                f"the server writes disk {target} to another image than when the copying began: to block node "
                f"{disk.node}, {len(disk.chain)} images deep, no longer to {was.node}, {len(was.chain)} deep"
            )
            raise ServerChanged(message, code="disk-replaced")


def _check_devices(before: Layout, now: Layout) -> None:
    def parts(layout: Layout) -> set[str]:
        nics = {f"interface {mac} ({model}, MTU {mtu})" for mac, model, mtu in layout.nics}
        return nics | set(layout.addresses) | set(layout.devices) | {f"disk {target}" for target in layout.disks}

    gone, come = sorted(parts(before) - parts(now)), sorted(parts(now) - parts(before))
    if gone or come:
        message = f"plugged since: {', '.join(come) or 'nothing'}; unplugged since: {', '.join(gone) or 'nothing'}"
        raise ServerChanged(f"the server's hardware is not what it was: {message}", code="hardware-changed")
    if (before.vcpus, before.memory_kib) != (now.vcpus, now.memory_kib):
        message = (
            f"{before.vcpus} vCPUs and {before.memory_kib} KiB of memory before, {now.vcpus} and {now.memory_kib} now"
        )
        raise ServerChanged(f"the server's hardware is not what it was: {message}", code="hardware-changed")


def bitmaps(domain: Any, target: str) -> list[Bitmap]:
    """The dirty bitmaps of the node that the guest writes a disk to, and of no other node."""
    found = _inserted(domain).get(target, {}).get("dirty-bitmaps", ())
    return [Bitmap(one["name"], one["count"], one["recording"]) for one in found if one.get("name")]


def open_disks(domain: Any) -> dict[str, OpenDisk]:
    """QEMU's disks by the target that libvirt gives them.

    :raises HypervisorError: QEMU's devices and libvirt's disks cannot be told apart.
    """
    named = aliases(domain.XMLDesc(0))
    found = {}
    for target, inserted in _inserted(domain).items():
        logical, physical = (_device_property(domain, named[target], f"{kind}_block_size") for kind in _BLOCK_SIZES)
        image = inserted["image"]
        found[target] = OpenDisk(
            inserted["node-name"], tuple(_chain(image)), image["virtual-size"], int(logical), int(physical)
        )
    return found


_BLOCK_SIZES = ("logical", "physical")


def _device_property(domain: Any, alias: str, name: str) -> Any:
    """What QEMU really gives the guest, whatever the XML says of it or leaves to QEMU."""
    return monitor.command(domain, "qom-get", path=f"/machine/peripheral/{alias}", property=name)


def _chain(image: Mapping[str, Any] | None) -> list[str]:
    chain = []
    while image is not None:
        chain.append(f"{image['format']} {image['filename']}")
        image = image.get("backing-image")
    return chain


def _inserted(domain: Any) -> dict[str, dict[str, Any]]:
    """The ``inserted`` part of ``query-block``, by target."""
    inserted = {}
    for device in monitor.command(domain, "query-block"):
        if device.get("inserted"):
            # /machine/peripheral/virtio-disk0/virtio-backend, or the alias itself
            for part in device.get("qdev", "").split("/"):
                inserted[part] = device["inserted"]
    named = aliases(domain.XMLDesc(0))
    found = {target: inserted[alias] for target, alias in named.items() if alias and alias in inserted}
    nodes = [device["node-name"] for device in found.values()]
    if len(set(nodes)) != len(nodes):
        raise HypervisorError("two disks of this server are one block device in QEMU")
    return found
