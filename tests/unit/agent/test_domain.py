# SPDX-License-Identifier: Apache-2.0
"""What a domain's XML says that a guest can notice, and what cannot be moved."""

from __future__ import annotations

import pytest

from sv2m.agent.libvirt.compare import compare
from sv2m.agent.libvirt.domain import facts
from sv2m.agent.libvirt.driver import needs_of
from sv2m.agent.libvirt.layout import OpenDisk
from sv2m.errors import Conflict
from sv2m.protocol.needs import Needs
from tests.unit.agent.domains import XML, with_device

OPEN = {"vda": OpenDisk("libvirt-1-format", (), 1 << 30, 512, 4096)}
NAMED = {"name": "vm", "root_gb": 1, "ephemeral_gb": 0, "swap_mb": 0}


def described(xml: str = XML) -> dict[str, object]:
    return needs_of(facts(xml), OPEN)


def test_the_facts_make_a_descriptor_that_the_protocol_takes() -> None:
    plain = described()
    disk = plain["disks"][0]  # type: ignore[index]
    assert disk.pop("serial") == "7c9b1f0e-97f8-4f0e-9a51-7a5d8c5f0a11"
    disk |= {"volume_gb": 1, "cipher": "aes-xts-plain64", "key_size": 256}
    needs = Needs.from_dict({**plain, **NAMED})
    assert (needs.vcpus, needs.memory_mb, needs.machine, needs.cpu.model) == (2, 128, "pc-q35-7.2", "Nehalem")
    assert needs.nics[0].mtu == 1450
    assert needs.sysinfo.version == "34.0.0"
    assert needs.disks[0].size == 1 << 30
    assert "controller:pci-pcie-root-port-x2" in needs.devices
    assert "feature:vmcoreinfo" in needs.devices
    assert "timer:hpet-no" in needs.devices
    assert "video:virtio" in needs.devices
    assert "cpu:vme-require" in needs.devices
    assert needs.addresses == (
        "channel-virtio=virtio-serial-bus.0,controller.0,port.1",
        "interface-0=pci-0000:01:00.0",
        "rng-virtio=pci-0000:02:00.0",
    )


def test_what_is_part_of_every_machine_does_not_count() -> None:
    for implicit in ("<input type='mouse' bus='ps2'/>", "<controller type='pci' index='0' model='pcie-root'/>"):
        assert facts(XML.replace(implicit, "")).devices == facts(XML).devices


def test_an_ordinary_server_has_nothing_that_stands_in_the_way() -> None:
    assert facts(XML).refusals == ()


@pytest.mark.parametrize(
    ("xml", "word"),
    [
        (with_device("<hostdev mode='subsystem' type='pci'/>"), "host device"),
        (with_device("<hostdev mode='subsystem' type='mdev'/>"), "vGPU"),
        (with_device("<tpm model='tpm-crb'/>"), "TPM"),
        (with_device("<filesystem type='mount'/>"), "filesystem"),
        (with_device("<vsock model='virtio'/>"), "vsock"),
        (with_device("<shmem name='x'/>"), "shared memory"),
        (with_device("<memory model='dimm'/>"), "memory device"),
        (with_device("<newfangled/>"), "newfangled"),
        (with_device("<interface type='bridge'><mac address='fa:16:3e:00:00:02'/></interface>"), "2 network"),
        (XML.replace("<interface type='bridge'>", "<interface type='hostdev'>"), "type hostdev"),
        (XML.replace("<interface type='bridge'>", "<interface type='vhostuser'>"), "type vhostuser"),
        (XML.replace("<boot dev='hd'/>", "<loader type='pflash'>/x</loader>"), "UEFI"),
        (XML.replace("<boot dev='hd'/>", "<nvram>/x</nvram>"), "UEFI"),
        (XML.replace("mode='custom'", "mode='host-passthrough'"), "host-passthrough"),
        (XML.replace("mode='custom'", "mode='maximum'"), "maximum"),
        (XML.replace("device='disk'", "device='cdrom'"), "config drive"),
        (XML.replace("bus='virtio'/>", "bus='scsi'/>"), "bus scsi"),
        (XML.replace("<serial>7c", "<shareable/><serial>7c"), "shareable"),
        (XML.replace("<serial>7c", "<readonly/><serial>7c"), "readonly"),
        (XML.replace("<serial>7c", "<transient/><serial>7c"), "transient"),
        (XML.replace("disk type='file'", "disk type='network'"), "network storage"),
        (XML.replace("disk type='file'", "disk type='vhostuser'"), "vhostuser storage"),
        (XML.replace("</devices>", "</devices><launchSecurity type='sev'/>"), "launch security"),
        (
            XML.replace(
                "</devices>",
                "</devices><q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>",
            ),
            "command-line",
        ),
    ],
)
def test_what_cannot_be_moved_is_named(xml: str, word: str) -> None:
    assert any(word in refusal for refusal in facts(xml).refusals), facts(xml).refusals


def test_the_same_domain_fits_itself() -> None:
    compare(described(), facts(XML))


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("<vcpu placement='static'>2", "<vcpu placement='static'>3", "vCPUs: 2 at the source, 3 here"),
        ("<memory unit='KiB'>131072", "<memory unit='MiB'>256", "memory (MiB): 128 at the source, 256 here"),
        ("pc-q35-7.2", "pc-q35-7.1", "machine type"),
        ("arch='x86_64'", "arch='aarch64'", "architecture"),
        ("domain type='kvm'", "domain type='qemu'", "virtualisation type"),
        (">Nehalem<", ">Skylake-Client<", "CPU: Nehalem at the source, Skylake-Client here"),
        ("<feature policy='require' name='vme'/>", "", "cpu:vme-require only at the source"),
        ("sockets='2'", "sockets='1'", "topology:2-1-1-1 only at the source, topology:1-1-1-1 only here"),
        ("fa:16:3e:00:00:01", "fa:16:3e:00:00:09", "fa:16:3e:00:00:09"),
        ("<mtu size='1450'/>", "", "1450"),
        ("<memballoon", "<watchdog model='i6300esb'/><memballoon", "watchdog:i6300esb only here"),
        ("<rng model='virtio'>", "<rng model='virtio-transitional'>", "rng:virtio only at the source"),
        ("<encryption format='luks'>", "<!--", "encrypted is True at the source, False here"),
        ("dev='vda'", "dev='vdb'", "vda on virtio at the source, vdb on virtio here"),
        ("<timer name='hpet' present='no'/>", "", "timer:hpet-no only at the source"),
        ("<emulator>", "<tpm model='x'/><emulator>", "a TPM"),
        (
            "bus='0x01' slot='0x00'",
            "bus='0x07' slot='0x00'",
            "device addresses: interface-0=pci-0000:01:00.0 only at the source, interface-0=pci-0000:07:00.0 only here",
        ),
        ("bus='0x02' slot='0x00'", "bus='0x02' slot='0x01'", "rng-virtio=pci-0000:02:01.0 only here"),
        ("blockio logical_block_size='512'", "blockio logical_block_size='4096'", "512 and 4096 bytes at the source"),
        ("physical_block_size='4096'/>", "/>", "512 and 4096 bytes at the source, of 512 and 512 here"),
    ],
)
def test_every_difference_is_named(old: str, new: str, word: str) -> None:
    xml = XML.replace(old, new)
    if new == "<!--":
        xml = xml.replace("</encryption>", "-->")
    with pytest.raises(Conflict) as caught:
        compare(described(), facts(xml))
    assert word in str(caught.value)


def test_another_number_of_disks_is_named() -> None:
    needs = described()
    needs["disks"] = [*needs["disks"], *needs["disks"]]  # type: ignore[misc]
    with pytest.raises(Conflict, match="disks: 2 at the source, 1 here"):
        compare(needs, facts(XML))
