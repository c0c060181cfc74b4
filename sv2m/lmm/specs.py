# SPDX-License-Identifier: Apache-2.0
"""Which extra specs of a flavor an arriving server may have: those without effect on the hardware that its guest sees.

A server arrives with the hardware of its memory image; what a flavor adds, changes or asks a particular host for makes
another guest of it, or another place than where room is held. Of Nova's own extra specs only those of the table are
taken, with these values; one that Nova gets later is refused until somebody has looked at it. What is in no namespace
of Nova's (``ssd=true``, ``example:tier=gold``) is read by the scheduler's aggregate filters alone: it places servers.
A host that such a filter refuses is refused by Nova, and another one is tried.

Source: Nova's validators, nova/api/validation/extra_specs, and what nova/virt/libvirt/driver.py and
nova/virt/hardware.py make of each. The agent's comparison of the hardware that B's Nova has made stands behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TRUE, _FALSE = "1|t|true|on|y|yes", "0|f|false|off|n|no|"
_ANY = ".*"
#: How the names of extra specs begin that Nova itself reads.
_NOVAS = re.compile(
    r"(hw|hw_[a-z]+|os|accel|vmware|powervm|pci_passthrough|quota|capabilities|aggregate_instance_extra_specs)[:_]"
    r"|resources|trait|group_policy|hide_hypervisor_id"
)


@dataclass(frozen=True)
class Harmless:
    """An extra spec that is taken.

    :param name: regular expression of the whole name.
    :param values: regular expression of the whole value, in lower case.
    :param why: what Nova makes of it.
    """

    name: str
    values: str
    why: str

    def takes(self, name: str, value: str) -> bool:
        """Whether it is this one."""
        return bool(re.fullmatch(self.name, name) and re.fullmatch(self.values, value.lower()))


HARMLESS = (
    Harmless("aggregate_instance_extra_specs:.*", _ANY, "AggregateInstanceExtraSpecsFilter: where servers go"),
    Harmless("capabilities:.*", _ANY, "ComputeCapabilitiesFilter: where servers go"),
    Harmless("group_policy", _ANY, "of numbered groups of resources, which are refused themselves"),
    Harmless("hide_hypervisor_id|hw:hide_hypervisor_id", _FALSE, "the default"),
    Harmless("hw:boot_menu", _FALSE, "the default"),
    Harmless("hw:cpu_policy", "shared", "the default: no pinning, no NUMA node"),
    Harmless("hw:cpu_realtime", _FALSE, "the default"),
    Harmless("hw:emulator_threads_policy", "share", "on which host CPUs QEMU's own threads run"),
    Harmless("hw:ephemeral_encryption", _FALSE, "the default"),
    Harmless("hw:locked_memory", _FALSE, "the default"),
    Harmless("hw:mem_encryption", _FALSE, "the default"),
    Harmless("hw:pci_numa_affinity_policy", _ANY, "of PCI devices, which no arriving server has"),
    Harmless("hw:redirected_usb_ports", "0", "the default"),
    Harmless("hw:serial_port_count", "1", "the default"),
    Harmless("hw:virtio_packed_ring", _FALSE, "the default"),
    Harmless("hw:watchdog_action", "disabled", "the default; with none there is a watchdog, which does nothing"),
    Harmless("hw_rng:allowed", _TRUE, "the default: every guest has a random number generator"),
    Harmless("hw_rng:rate_(bytes|period)", _ANY, "how much the host gives of it"),
    Harmless("hw_video:ram_max_mb", _ANY, "the most that an image may ask for"),
    Harmless("os:secure_boot", "disabled", "the default"),
    Harmless("quota:.*", _ANY, "limits and shares on the host"),
    Harmless("trait:COMPUTE_STATUS_DISABLED", "forbidden", "Nova asks for the same of every host"),
)


def excluding(extra_specs: Mapping[str, str]) -> list[str]:
    """Those for which a flavor is none for an arriving server, as ``name=value``, sorted."""
    return sorted(f"{name}={value}" for name, value in extra_specs.items() if not is_harmless(name, str(value)))


def is_harmless(name: str, value: str) -> bool:
    """Whether this extra spec has no effect on what the guest sees, and asks for no particular host."""
    return not _NOVAS.match(name) or any(one.takes(name, value) for one in HARMLESS)
