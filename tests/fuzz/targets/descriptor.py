# SPDX-License-Identifier: Apache-2.0
"""libvirt's XML of a domain, and its comparison with a peer's descriptor."""

from __future__ import annotations

from sv2m import errors
from sv2m.agent.libvirt.compare import compare
from sv2m.agent.libvirt.domain import aliases, facts
from tests.fuzz import trees
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors
from tests.unit.agent.domains import XML, with_device

_DEVICES = (
    "<hostdev mode='subsystem' type='pci'/>",
    "<filesystem type='mount'><source dir='/'/></filesystem>",
    "<tpm model='tpm-crb'/>",
    "<disk type='block' device='lun'><source dev='/dev/sda'/><target dev='sda' bus='scsi'/></disk>",
    "<disk type='network' device='disk'><source protocol='rbd' name='x'/><target dev='vdb' bus='virtio'/></disk>",
    "<memory model='dimm'/>",
    "<vsock model='virtio'/>",
)
_FORBIDDEN = ("hostdev", "filesystem", "tpm", "memory", "vsock", "shmem", "redirdev", "smartcard", "iommu", "lease")


def check(data: bytes) -> None:
    try:
        xml = data.decode()
    except UnicodeDecodeError:
        return
    try:
        found = facts(xml)
        aliases(xml)
    except errors.HypervisorError:
        return
    try:
        compare(vectors.values()["needs"], found)
    except errors.Conflict:
        return
    promise(not found.refusals, "something that cannot be moved fits")
    promise(all(disk.bus == "virtio" for disk in found.disks), "a disk of another kind fits")
    promise(not any(f"<{name}" in xml.partition("<devices")[2] for name in _FORBIDDEN), "a forbidden device fits")


def make() -> Target:
    seeds = tuple(text.encode() for text in (XML, *map(with_device, _DEVICES)))
    return Target(
        "agent.libvirt.domain, compare: descriptors",
        check,
        seeds,
        ("sv2m.agent",),
        trees.mutator(seeds),
        memory=8 << 20,
    )
