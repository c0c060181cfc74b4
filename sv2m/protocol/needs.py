# SPDX-License-Identifier: Apache-2.0
"""What a virtual machine needs from the cloud that takes it: the only description of it that B ever reads.

B builds its domain from its own Nova's XML and takes from here nothing but what these fields name. There is
no field for a path, a host device, a command line or an image name, so that no offer can ask for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from sv2m.protocol import fields as check

#: Bounds of one offer. Nova attaches at most 26 virtio disks by letter, and Neutron far fewer ports.
MAX_DISKS: Final = 32
MAX_NICS: Final = 32
MAX_DEVICES: Final = 128
MAX_ADDRESSES: Final = 256
#: 64 TiB: more than any volume back end makes in one piece.
MAX_DISK_BYTES: Final = 1 << 46
#: Of a logical or physical block; QEMU takes powers of two within these (hw/core/qdev-properties-system.c).
MIN_BLOCK: Final = 512
MAX_BLOCK: Final = 2 << 20


@dataclass(frozen=True)
class Cpu:
    """The guest's CPU as libvirt names it.

    :param mode: custom (a named model) or none (the hypervisor's default).
    :param model: libvirt CPU model; empty when mode is none.
    """

    mode: str
    model: str

    def __post_init__(self) -> None:
        check.one_of("Cpu.mode", self.mode, ("custom", "none"))
        check.token("Cpu.model", self.model, empty=True)
        if (self.mode == "custom") != bool(self.model):
            raise check.invalid("Cpu.model", "must be given exactly when the mode is custom")


@dataclass(frozen=True)
class Sysinfo:
    """SMBIOS strings that the guest sees; empty where A's domain has none."""

    manufacturer: str
    product: str
    version: str

    def __post_init__(self) -> None:
        for field in fields(self):
            check.text(f"Sysinfo.{field.name}", getattr(self, field.name), 0, 255)


@dataclass(frozen=True)
class Disk:
    """One disk of the guest.

    :param index: its place in the order, from 0.
    :param target: device name in the domain, such as vda.
    :param bus: libvirt bus name, such as virtio.
    :param size: bytes that the guest sees.
    :param logical_block_size: bytes; the guest reads and writes multiples of it (virtio 1.2, 5.2.4, blk_size).
    :param physical_block_size: bytes; no less than the logical one.
    :param volume_gb: GiB of the Cinder volume behind it; 0 for a local disk.
    :param encrypted: whether an EIK opens it.
    :param cipher: LUKS cipher, such as aes-xts-plain64; empty when not encrypted.
    :param key_size: bits of that cipher's key; 0 when not encrypted.
    :param boot: whether the guest boots from it.
    """

    index: int
    target: str
    bus: str
    size: int
    logical_block_size: int
    physical_block_size: int
    volume_gb: int
    encrypted: bool
    cipher: str
    key_size: int
    boot: bool

    def __post_init__(self) -> None:
        check.whole("Disk.index", self.index, 0, MAX_DISKS - 1)
        check.token("Disk.target", self.target)
        check.token("Disk.bus", self.bus)
        check.whole("Disk.size", self.size, 1, MAX_DISK_BYTES)
        check.power("Disk.logical_block_size", self.logical_block_size, MIN_BLOCK, MAX_BLOCK)
        check.power("Disk.physical_block_size", self.physical_block_size, self.logical_block_size, MAX_BLOCK)
        check.whole("Disk.volume_gb", self.volume_gb, 0, MAX_DISK_BYTES >> 30)
        check.flag("Disk.encrypted", self.encrypted)
        check.token("Disk.cipher", self.cipher, empty=True)
        check.whole("Disk.key_size", self.key_size, 0, 4096)
        check.flag("Disk.boot", self.boot)
        if self.encrypted != bool(self.cipher) or self.encrypted != bool(self.key_size):
            raise check.invalid(
                "Disk.cipher", "and key_size must be given exactly when the disk is encrypted"
            )


@dataclass(frozen=True)
class Nic:
    """One network interface: index from 0, MAC address, libvirt model, MTU in bytes."""

    index: int
    mac: str
    model: str
    mtu: int

    def __post_init__(self) -> None:
        check.whole("Nic.index", self.index, 0, MAX_NICS - 1)
        check.mac("Nic.mac", self.mac)
        check.token("Nic.model", self.model)
        check.whole("Nic.mtu", self.mtu, 68, 65535)


@dataclass(frozen=True)
class Needs:
    """The VM descriptor of an offer.

    :param name: display name at A.
    :param vm: server UUID at A.
    :param vcpus: number of virtual CPUs.
    :param memory_mb: RAM in MiB.
    :param architecture: such as x86_64.
    :param machine: QEMU machine type with its version, such as pc-q35-7.2.
    :param firmware: bios or uefi.
    :param cpu: the CPU model.
    :param virt_type: qemu or kvm.
    :param sysinfo: SMBIOS strings.
    :param root_gb: root disk of A's flavor in GiB; ephemeral_gb likewise; swap_mb in MiB.
    :param disks: every disk, in the order of their indexes.
    :param nics: every interface, in the order of their indexes.
    :param devices: kinds of all other devices whose state QEMU carries, sorted, repeated as often as they
        occur.
    :param addresses: where each device sits on the guest's buses, such as disk-vda=pci-0000:04:00.0; sorted, no two
        the same.
    """

    name: str
    vm: str
    vcpus: int
    memory_mb: int
    architecture: str
    machine: str
    firmware: str
    cpu: Cpu
    virt_type: str
    sysinfo: Sysinfo
    root_gb: int
    ephemeral_gb: int
    swap_mb: int
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    devices: tuple[str, ...]
    addresses: tuple[str, ...]

    def __post_init__(self) -> None:
        check.text("Needs.name", self.name, 1, 255)
        check.identifier("Needs.vm", self.vm)
        check.whole("Needs.vcpus", self.vcpus, 1, 4096)
        check.whole("Needs.memory_mb", self.memory_mb, 1, 1 << 26)
        check.token("Needs.architecture", self.architecture)
        check.token("Needs.machine", self.machine)
        check.one_of("Needs.firmware", self.firmware, ("bios", "uefi"))
        check.one_of("Needs.virt_type", self.virt_type, ("qemu", "kvm"))
        if type(self.cpu) is not Cpu or type(self.sysinfo) is not Sysinfo:
            raise check.invalid("Needs.cpu", "and Needs.sysinfo must be Cpu and Sysinfo")
        check.whole("Needs.root_gb", self.root_gb, 0, MAX_DISK_BYTES >> 30)
        check.whole("Needs.ephemeral_gb", self.ephemeral_gb, 0, MAX_DISK_BYTES >> 30)
        check.whole("Needs.swap_mb", self.swap_mb, 0, 1 << 26)
        check.items("Needs.disks", self.disks, Disk, 1, MAX_DISKS)
        check.items("Needs.nics", self.nics, Nic, 0, MAX_NICS)
        check.items("Needs.devices", self.devices, str, 0, MAX_DEVICES)
        check.items("Needs.addresses", self.addresses, str, 0, MAX_ADDRESSES)
        for field in ("devices", "addresses"):
            for name in getattr(self, field):
                check.token(f"Needs.{field}", name)
                if len(name) > 64:
                    raise check.invalid(f"Needs.{field}", "must have names of at most 64 characters")
        if list(self.addresses) != sorted(set(self.addresses)):
            raise check.invalid("Needs.addresses", "must be sorted, and none of them twice")
        if list(self.devices) != sorted(self.devices):
            raise check.invalid("Needs.devices", "must be sorted")
        if [disk.index for disk in self.disks] != list(range(len(self.disks))):
            raise check.invalid("Needs.disks", "must be numbered from 0 in order")
        if [nic.index for nic in self.nics] != list(range(len(self.nics))):
            raise check.invalid("Needs.nics", "must be numbered from 0 in order")

    @property
    def encrypted_disks(self) -> tuple[Disk, ...]:
        """The disks that an EIK opens: the n-th of them by the key named EIK-n."""
        return tuple(disk for disk in self.disks if disk.encrypted)

    @property
    def stream_bytes(self) -> int:
        """What the streams of the VM have to carry if nothing of it is zeros: its disks and its memory, in bytes."""
        return sum(disk.size for disk in self.disks) + (self.memory_mb << 20)

    def to_dict(self) -> dict[str, Any]:
        """The plain JSON form that every other part of SV2M uses."""
        plain = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Needs:
        """Build from the plain JSON form; exactly its keys, nothing optional.

        :raises LocalError: a key is missing, unknown, or holds what it may not hold.
        """
        values = _exactly(cls, plain)
        values["cpu"] = Cpu(**_exactly(Cpu, values["cpu"]))
        values["sysinfo"] = Sysinfo(**_exactly(Sysinfo, values["sysinfo"]))
        values["disks"] = tuple(Disk(**_exactly(Disk, disk)) for disk in _sequence("disks", values["disks"]))
        values["nics"] = tuple(Nic(**_exactly(Nic, nic)) for nic in _sequence("nics", values["nics"]))
        values["devices"] = tuple(_sequence("devices", values["devices"]))
        values["addresses"] = tuple(_sequence("addresses", values["addresses"]))
        return cls(**values)


def _exactly(cls: type[Any], plain: object) -> dict[str, Any]:
    names = {field.name for field in fields(cls)}
    if not isinstance(plain, Mapping):
        raise check.invalid(cls.__name__, "must be an object")
    if set(plain) != names:
        wrong = sorted(str(key)[:40] for key in set(plain) ^ names)
        raise check.invalid(cls.__name__, f"has missing or unknown keys: {', '.join(wrong[:8])}")
    return dict(plain)


def _sequence(name: str, plain: object) -> list[Any]:
    if not isinstance(plain, (list, tuple)):
        raise check.invalid(f"Needs.{name}", "must be a list")
    return list(plain)
