# SPDX-License-Identifier: Apache-2.0
"""What a domain's XML says that a guest can notice: read once, in one way, at A and at B.

The XML always comes from this host's own libvirt, never from the peer.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sv2m.errors import HypervisorError

#: Device elements that hold no state a guest could miss: backends and the emulator's own path.
_STATELESS = frozenset({"emulator", "graphics", "audio", "console", "disk", "interface"})
#: Devices whose state QEMU carries and that SV2M has seen move.
_CARRIED = frozenset(
    {
        "controller",
        "input",
        "video",
        "serial",
        "parallel",
        "channel",
        "rng",
        "watchdog",
        "memballoon",
        "panic",
        "sound",
    }
)
#: Part of every machine of their types. libvirt names them in some of its forms of one domain and not in
#: others.
_IMPLICIT = frozenset(
    {
        ("input", "keyboard-ps2"),
        ("input", "mouse-ps2"),
        ("controller", "pci-pcie-root"),
        ("controller", "pci-pci-root"),
        ("controller", "usb-piix3-uhci"),
    }
)
_WHY_NOT = {
    "hostdev": "a host device (PCI or USB passthrough, vGPU)",
    "tpm": "a TPM",
    "filesystem": "a filesystem passed through from the host",
    "shmem": "shared memory",
    "memory": "a memory device (hot-plugged or persistent memory)",
    "redirdev": "USB redirection",
    "smartcard": "a smartcard",
    "vsock": "a vsock device",
    "iommu": "an IOMMU",
    "nvram": "non-volatile memory",
    "lease": "a lock manager's lease",
}
_SECTOR = 512
_NIC_TYPES = frozenset({"bridge", "ethernet", "network", "user"})
_KIB = {
    "b": 1 / 1024,
    "bytes": 1 / 1024,
    "KiB": 1,
    "k": 1,
    "MiB": 1024,
    "M": 1024,
    "GiB": 1024**2,
    "G": 1024**2,
}


@dataclass(frozen=True)
class DomainDisk:
    """One disk of a domain. ``size`` is not in the XML; whoever opens the disk knows it.

    ``source`` is the path (file, block) or ``(pool, volume)``; ``format`` libvirt's driver type; block sizes in bytes.
    """

    index: int
    target: str
    bus: str
    kind: str
    source: str | tuple[str, str]
    format: str
    encrypted: bool
    secret_uuid: str
    serial: str
    logical_block_size: int
    physical_block_size: int


@dataclass(frozen=True)
class DomainFacts:
    """Everything of a domain that must be the same at A and at B, and what SV2M cannot move of it.

    ``addresses`` says of each device where it sits: QEMU names the state of a device by that.
    ``refusals`` names each thing in words for an operator; empty means movable.
    """

    name: str
    uuid: str
    vcpus: int
    memory_kib: int
    architecture: str
    machine: str
    firmware: str
    cpu_mode: str
    cpu_model: str
    virt_type: str
    sysinfo: dict[str, str]
    disks: tuple[DomainDisk, ...]
    nics: tuple[dict[str, Any], ...]
    devices: tuple[str, ...]
    addresses: tuple[str, ...]
    refusals: tuple[str, ...] = field(default=())


def facts(xml: str) -> DomainFacts:
    """Read the XML of this host's own libvirt (``MIGRATABLE|SECURE``, or of a save image).

    :raises HypervisorError: this is no domain's XML.
    """
    try:
        return _facts(ET.fromstring(xml))  # noqa: S314 - this host's own libvirt wrote it
    except (ET.ParseError, ValueError, KeyError, OverflowError) as error:
        raise HypervisorError(f"the domain's XML cannot be read: {type(error).__name__}") from error


def _facts(root: ET.Element) -> DomainFacts:
    refusals: list[str] = []
    disks = tuple(_disks(root, refusals))
    nics = tuple(_nics(root, refusals))
    cpu_mode, cpu_model = _cpu(root, refusals)
    loader = root.find("os/loader")
    if loader is not None or root.find("os/nvram") is not None or root.get("firmware", "bios") == "efi":
        refusals.append("UEFI firmware with its variable store")
    if root.find("launchSecurity") is not None:
        refusals.append("launch security (SEV, TDX)")
    if len(root) and any(child.tag.endswith("}commandline") for child in root):
        refusals.append("QEMU command-line arguments of its own (qemu:commandline)")
    devices = _devices(root, refusals)
    type_ = root.find("os/type")
    return DomainFacts(
        name=root.findtext("name", ""),
        uuid=root.findtext("uuid", ""),
        vcpus=int(root.findtext("vcpu", "1")),
        memory_kib=_kib(root.find("memory")),
        architecture=type_.get("arch", "") if type_ is not None else "",
        machine=type_.get("machine", "") if type_ is not None else "",
        firmware="bios" if loader is None else "uefi",
        cpu_mode=cpu_mode,
        cpu_model=cpu_model,
        virt_type=root.get("type", ""),
        sysinfo={key: sysinfo_entry(root, key) for key in ("manufacturer", "product", "version")},
        disks=disks,
        nics=nics,
        devices=devices,
        addresses=tuple(sorted(set(_addresses(root)))),
        refusals=tuple(refusals),
    )


def aliases(xml: str) -> dict[str, str]:
    """Target of each disk -> libvirt's alias, under which QEMU knows it. Only the XML as it runs has them.

    :raises HypervisorError: this is no domain's XML.
    """
    found = {}
    try:
        root = ET.fromstring(xml)  # noqa: S314 - as above
    except (ET.ParseError, ValueError) as error:
        raise HypervisorError(f"the domain's XML cannot be read: {type(error).__name__}") from error
    for disk in root.findall("devices/disk"):
        target, alias = disk.find("target"), disk.find("alias")
        if target is not None and alias is not None:
            found[target.get("dev", "")] = alias.get("name", "")
    return found


def sysinfo_entry(root: ET.Element, name: str) -> str:
    """An SMBIOS system string of the domain, '' where it has none."""
    return root.findtext(f"sysinfo[@type='smbios']/system/entry[@name='{name}']", "")


def _kib(element: ET.Element | None) -> int:
    if element is None:
        return 0
    return int(int(element.text or 0) * _KIB[element.get("unit", "KiB")])


def _disks(root: ET.Element, refusals: list[str]) -> Iterator[DomainDisk]:
    for index, disk in enumerate(root.findall("devices/disk")):
        target = disk.find("target")
        name = target.get("dev", "?") if target is not None else "?"
        bus = target.get("bus", "") if target is not None else ""
        device = disk.get("device", "disk")
        kind = disk.get("type", "")
        driver = disk.find("driver")
        source = disk.find("source")
        if device != "disk":
            refusals.append(f"a {device} ({name}), for instance a config drive")
        elif bus != "virtio":
            refusals.append(f"disk {name} on bus {bus}, not virtio")
        for mark in ("readonly", "shareable", "transient", "mirror"):
            if disk.find(mark) is not None:
                refusals.append(
                    f"disk {name}, which is {mark} or has a {mark}"
                    if mark == "mirror"
                    else f"disk {name}, which is {mark}"
                )
        if kind not in ("file", "block", "volume"):
            refusals.append(f"disk {name} on {kind} storage")
        if source is None:
            refusals.append(f"disk {name} without a source")
            continue
        encryption = source.find("encryption")
        if encryption is None:
            encryption = disk.find("encryption")
        secret = encryption.find("secret") if encryption is not None else None
        blocks = disk.find("blockio")
        where: str | tuple[str, str] = source.get("file") or source.get("dev") or ""
        if kind == "volume":
            where = (source.get("pool", ""), source.get("volume", ""))
        yield DomainDisk(
            index=index,
            target=name,
            bus=bus,
            kind=kind,
            source=where,
            format=driver.get("type", "raw") if driver is not None else "raw",
            encrypted=encryption is not None,
            secret_uuid=secret.get("uuid", "") if secret is not None else "",
            serial=disk.findtext("serial", ""),
            logical_block_size=_block_size(blocks, "logical"),
            physical_block_size=_block_size(blocks, "physical"),
        )


def _block_size(blocks: ET.Element | None, kind: str) -> int:
    """Where the XML is silent, QEMU gives the guest blocks of 512 bytes (blkconf_blocksizes in hw/block/block.c)."""
    return int(blocks.get(f"{kind}_block_size", _SECTOR)) if blocks is not None else _SECTOR


def _nics(root: ET.Element, refusals: list[str]) -> Iterator[dict[str, Any]]:
    nics = root.findall("devices/interface")
    if len(nics) > 1:
        refusals.append(f"{len(nics)} network interfaces; one is moved")
    for index, nic in enumerate(nics):
        if nic.get("type") not in _NIC_TYPES:
            refusals.append(f"a network interface of type {nic.get('type')}")
        mac, model, mtu = nic.find("mac"), nic.find("model"), nic.find("mtu")
        yield {
            "index": index,
            "mac": mac.get("address", "") if mac is not None else "",
            "model": model.get("type", "") if model is not None else "",
            # Without the element QEMU offers the guest no MTU; that is what 1500 means to a guest.
            "mtu": int(mtu.get("size", "1500")) if mtu is not None else 1500,
        }


def _cpu(root: ET.Element, refusals: list[str]) -> tuple[str, str]:
    cpu = root.find("cpu")
    if cpu is None or (cpu.get("mode") is None and cpu.find("model") is None):
        return "none", ""
    mode = cpu.get("mode", "custom")
    if mode != "custom":
        # QEMU does not notice another CPU under a running guest; only a named model can be compared.
        refusals.append(f"CPU mode {mode}, which takes whatever the host has")
    return "custom", cpu.findtext("model", "")


def _devices(root: ET.Element, refusals: list[str]) -> tuple[str, ...]:
    kinds: Counter[str] = Counter()
    for device in root.find("devices") or ():
        if device.tag in _STATELESS:
            continue
        if device.tag not in _CARRIED:
            refusals.append(_WHY_NOT.get(device.tag, f"a device of kind {device.tag}"))
            continue
        model = _model(device)
        if (device.tag, model) not in _IMPLICIT and model != "none":
            kinds[f"{device.tag}:{model}"] += 1
    for feature in root.find("features") or ():
        kinds[f"feature:{feature.tag}"] += 1
    for timer in root.findall("clock/timer"):
        if timer.get("present"):
            kinds[f"timer:{timer.get('name')}-{timer.get('present')}"] += 1
    for feature in root.findall("cpu/feature"):
        kinds[f"cpu:{feature.get('name')}-{feature.get('policy', 'require')}"] += 1
    topology = root.find("cpu/topology")
    if topology is not None:
        shape = "-".join(topology.get(key, "1") for key in ("sockets", "dies", "cores", "threads"))
        kinds[f"topology:{shape}"] += 1
    if root.find("os/kernel") is not None:
        kinds["boot:kernel"] += 1
    return tuple(sorted(kind if count == 1 else f"{kind}-x{count}" for kind, count in kinds.items()))


def _addresses(root: ET.Element) -> Iterator[str]:
    """``name=bus-place`` of every device that has a place of its own on a bus of the guest."""
    nics = 0
    for device in root.find("devices") or ():
        name = _model(device)
        if device.tag == "disk":
            target = device.find("target")
            name = target.get("dev", "") if target is not None else ""
        elif device.tag == "interface":
            name, nics = str(nics), nics + 1
        elif device.tag == "controller":
            name = f"{device.get('type')}-{device.get('index', '0')}"
        address = device.find("address")
        if address is None or (device.tag, _model(device)) in _IMPLICIT:
            continue
        yield f"{device.tag}-{name}={address.get('type')}-{_place(address)}"


def _place(address: ET.Element) -> str:
    """Where on its bus, in short."""
    if address.get("type") == "pci":
        domain, bus, slot, function = (
            int(address.get(key, "0"), 16) for key in ("domain", "bus", "slot", "function")
        )
        return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"
    return ",".join(f"{key}.{value}" for key, value in sorted(address.items()) if key != "type")


def _model(device: ET.Element) -> str:
    """The part of a device that decides which state QEMU carries for it."""
    if device.tag == "controller":
        model = device.get("model") or device.findtext("model") or "default"
        return f"{device.get('type')}-{model}"
    if device.tag == "video":
        model_ = device.find("model")
        if model_ is None:
            return "default"
        vram = model_.get("vram")
        return f"{model_.get('type')}-{vram}" if vram else f"{model_.get('type')}"
    if device.tag in ("serial", "parallel", "channel"):
        target = device.find("target")
        return target.get("type", "default") if target is not None else "default"
    if device.tag == "input":
        return f"{device.get('type')}-{device.get('bus')}"
    return device.get("model") or "default"
