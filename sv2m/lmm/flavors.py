# SPDX-License-Identifier: Apache-2.0
"""Which flavor of this cloud gives an arriving server exactly the hardware that its memory image expects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sv2m import errors
from sv2m.lmm import ports

#: Extra specs that change the virtual hardware, or ask Placement for more than vCPU, memory and disk.
HARDWARE_SPECS = (
    "hw:",
    "hw_",
    "resources",
    "trait",
    "group_policy",
    "pci_passthrough",
    "accel:",
    "os:",
    "vmware",
)


def match(flavors: Iterable[ports.Flavor], needs: Mapping[str, Any]) -> ports.Flavor:
    """The flavor for a server.

    vCPUs and memory must be equal, for the guest's memory image holds both; so must every disk that Nova
    would make from the flavor. Where the root disk is a volume, the flavor's root size is of no effect, and
    the closest one is taken.

    :param needs: the descriptor of an offer.
    :raises sv2m.errors.NoRoom: no flavor fits; the message says which one is missing.
    """
    from_volume = boots_from_volume(needs["disks"])
    fitting = [
        flavor
        for flavor in flavors
        if flavor.vcpus == needs["vcpus"]
        and flavor.memory_mb == needs["memory_mb"]
        and flavor.ephemeral_gb == needs["ephemeral_gb"]
        and flavor.swap_mb == needs["swap_mb"]
        and (from_volume or flavor.root_gb == needs["root_gb"])
        and not any(spec.startswith(HARDWARE_SPECS) for spec in flavor.extra_specs)
    ]
    if not fitting:
        root = "" if from_volume else f", a root disk of {needs['root_gb']} GB"
        raise errors.NoRoom(
            f"no flavor here has {needs['vcpus']} vCPUs, {needs['memory_mb']} MB of memory{root}, "
            f"{needs['ephemeral_gb']} GB ephemeral, {needs['swap_mb']} MB swap and no special hardware",
            code="no-flavor",
            remedy="Ask the operators of the cloud for such a flavor, public or for the agreement's project.",
        )
    return min(fitting, key=lambda flavor: (abs(flavor.root_gb - needs["root_gb"]), flavor.name, flavor.id))


def resources(flavor: ports.Flavor, disks: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """What Placement must have for a server of this flavor: what Nova itself will ask for it."""
    root_gb = 0 if boots_from_volume(disks) else flavor.root_gb
    wanted = {
        "VCPU": flavor.vcpus,
        "MEMORY_MB": flavor.memory_mb,
        # Nova rounds swap up to whole GB.
        "DISK_GB": root_gb + flavor.ephemeral_gb + -(-flavor.swap_mb // 1024),
    }
    return {name: amount for name, amount in wanted.items() if amount}


def boots_from_volume(disks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the root disk is a volume."""
    return any(disk["boot"] and disk["volume_gb"] for disk in disks)
