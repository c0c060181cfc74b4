# SPDX-License-Identifier: Apache-2.0
"""Does the placeholder that B's Nova built have what A's guest is used to?

QEMU refuses another machine type, memory size, vCPU count, address or a missing device, but neither another
CPU model, nor another block size of a disk, nor a device too many: those the agent must find, and it is better to
find the others before the guest stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sv2m.agent.libvirt.domain import DomainDisk, DomainFacts
from sv2m.errors import Conflict


def compare(needs: Mapping[str, Any], here: DomainFacts) -> None:
    """Check B's domain against A's descriptor; disk sizes are checked when the disks are open.

    :param needs: the descriptor of the offer, as a plain dict.
    :raises Conflict: naming every difference.
    """
    wrong: list[str] = list(here.refusals)

    def same(what: str, theirs: object, ours: object) -> None:
        if theirs != ours:
            wrong.append(f"{what}: {theirs} at the source, {ours} here")

    same("vCPUs", needs["vcpus"], here.vcpus)
    same("memory (MiB)", needs["memory_mb"], here.memory_kib // 1024)
    same("architecture", needs["architecture"], here.architecture)
    same("machine type", needs["machine"], here.machine)
    same("firmware", needs["firmware"], here.firmware)
    same("CPU", _cpu(needs["cpu"]["mode"], needs["cpu"]["model"]), _cpu(here.cpu_mode, here.cpu_model))
    same("virtualisation type", needs["virt_type"], here.virt_type)
    _compare_disks(needs["disks"], here, wrong)
    same(
        "network interfaces",
        [(nic["mac"], nic["model"], nic["mtu"]) for nic in needs["nics"]],
        [(nic["mac"], nic["model"], nic["mtu"]) for nic in here.nics],
    )
    _compare_sets("devices", needs["devices"], here.devices, wrong)
    _compare_sets("device addresses", needs["addresses"], here.addresses, wrong)
    if wrong:
        raise Conflict(
            "the placeholder does not fit the server: " + "; ".join(wrong),
            code="placeholder-differs",
            remedy="Make the flavor, image properties and network of the destination match what is named.",
        )


def _cpu(mode: str, model: str) -> str:
    return model if mode == "custom" else "QEMU's default"


def _compare_sets(what: str, theirs: Iterable[str], ours: Iterable[str], wrong: list[str]) -> None:
    there, here = set(theirs), set(ours)
    if there != here:
        wrong.append(
            f"{what}: {', '.join(sorted(there - here)) or 'none'} only at the source, "
            f"{', '.join(sorted(here - there)) or 'none'} only here"
        )


def _compare_disks(disks: list[Mapping[str, Any]], here: DomainFacts, wrong: list[str]) -> None:
    if len(disks) != len(here.disks):
        wrong.append(f"disks: {len(disks)} at the source, {len(here.disks)} here")
        return
    for theirs, ours in zip(disks, here.disks, strict=True):
        if (theirs["target"], theirs["bus"]) != (ours.target, ours.bus):
            wrong.append(
                f"disk {theirs['index']}: {theirs['target']} on {theirs['bus']} at the source, "
                f"{ours.target} on {ours.bus} here"
            )
        _compare_blocks(theirs, ours, wrong)
        if bool(theirs["encrypted"]) != ours.encrypted:
            # Never land an encrypted disk in the clear, nor the other way round.
            wrong.append(
                f"disk {theirs['index']}: encrypted is {theirs['encrypted']} at the source, {ours.encrypted} here"
            )


def _compare_blocks(theirs: Mapping[str, Any], ours: DomainDisk, wrong: list[str]) -> None:
    """A restored guest goes on with the blocks that it knows; QEMU fails each request that fits no block of ours."""
    there = (theirs["logical_block_size"], theirs["physical_block_size"])
    here = (ours.logical_block_size, ours.physical_block_size)
    if there != here:
        wrong.append(
            f"disk {theirs['index']}: logical and physical blocks of {there[0]} and {there[1]} bytes at the source, "
            f"of {here[0]} and {here[1]} here"
        )
