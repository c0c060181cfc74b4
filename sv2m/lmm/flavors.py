# SPDX-License-Identifier: Apache-2.0
"""Which flavor of this cloud gives an arriving server exactly the hardware that its memory image expects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sv2m import errors
from sv2m.lmm import ports, specs

#: Of how many flavors an error tells.
_TOLD = 3


def match(flavors: Iterable[ports.Flavor], needs: Mapping[str, Any]) -> ports.Flavor:
    """The flavor for a server.

    vCPUs and memory must be equal, for the guest's memory image holds both; so must every disk that Nova
    would make from the flavor. Where the root disk is a volume, the flavor's root size is of no effect, and
    the closest one is taken. Extra specs must be harmless (specs.py).

    :param needs: the descriptor of an offer.
    :raises sv2m.errors.NoRoom: no flavor fits; the message says what is missing, and what the nearest ones have.
    """
    wanted = _wanted(needs)
    known = list(flavors)
    sized = [flavor for flavor in known if not _differences(flavor, wanted)]
    fitting = [flavor for flavor in sized if not specs.excluding(flavor.extra_specs)]
    if not fitting:
        has = ", ".join(_said(name, amount) for name, amount in wanted.items())
        raise errors.NoRoom(
            f"no flavor here has {has} and no special hardware{_nearest(sized or known, wanted)}",
            code="no-flavor",
            remedy="Ask the operators of the cloud for such a flavor, public or for the agreement's project.",
        )
    return min(fitting, key=lambda flavor: (abs(flavor.root_gb - needs["root_gb"]), flavor.name, flavor.id))


#: What a flavor must have exactly, and how it is said.
_SIZES = {
    "vcpus": "{} vCPUs",
    "memory_mb": "{} MB of memory",
    "root_gb": "a root disk of {} GB",
    "ephemeral_gb": "{} GB ephemeral",
    "swap_mb": "{} MB swap",
}


def _wanted(needs: Mapping[str, Any]) -> dict[str, int]:
    passed_over = {"root_gb"} if boots_from_volume(needs["disks"]) else set()
    return {name: needs[name] for name in _SIZES if name not in passed_over}


def _differences(flavor: ports.Flavor, wanted: Mapping[str, int]) -> list[str]:
    """The sizes in which it is another one."""
    return [name for name, amount in wanted.items() if getattr(flavor, name) != amount]


def _said(name: str, amount: int) -> str:
    return _SIZES[name].format(amount)


def _nearest(flavors: Sequence[ports.Flavor], wanted: Mapping[str, int]) -> str:
    """In words: the flavors that differ in the fewest things, and in which; nothing where there is no flavor."""
    if not flavors:
        return "; there is no flavor at all"
    told = sorted(flavors, key=lambda flavor: (len(_reasons(flavor, wanted)), _distance(flavor, wanted), flavor.name))
    said = "; ".join(f"{flavor.name} has {', '.join(_reasons(flavor, wanted))}" for flavor in told[:_TOLD])
    return f". Nearest: {said}"


def _distance(flavor: ports.Flavor, wanted: Mapping[str, int]) -> int:
    return sum(abs(getattr(flavor, name) - amount) for name, amount in wanted.items())


def _reasons(flavor: ports.Flavor, wanted: Mapping[str, int]) -> list[str]:
    sizes = [_said(name, getattr(flavor, name)) for name in _differences(flavor, wanted)]
    return sizes + [f"extra spec {one}" for one in specs.excluding(flavor.extra_specs)]


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
