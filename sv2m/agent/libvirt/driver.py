# SPDX-License-Identifier: Apache-2.0
"""libvirt and QEMU as the agent's hypervisor. See :class:`sv2m.agent.hypervisor.Hypervisor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import libvirt

from sv2m.agent.hypervisor import Description
from sv2m.agent.libvirt import monitor
from sv2m.agent.libvirt.connection import Connection
from sv2m.agent.libvirt.domain import DomainFacts, facts
from sv2m.agent.libvirt.landing import LibvirtLanding
from sv2m.agent.libvirt.layout import MIGRATABLE, OpenDisk, open_disks
from sv2m.agent.libvirt.memory import ram_bytes, resident_bytes
from sv2m.agent.libvirt.source import LibvirtSource, check_first_time
from sv2m.errors import HypervisorError, NotFound, ServerNotMovable

_POWER = {libvirt.VIR_DOMAIN_RUNNING: "running", libvirt.VIR_DOMAIN_PAUSED: "paused"}


class LibvirtHypervisor:
    """This host's libvirt.

    :param uri: libvirt connection URI.
    :param timeout: seconds that QEMU or qemu-nbd may take for one step.
    """

    def __init__(self, uri: str, timeout: float = 60.0) -> None:
        self._connection = Connection(uri)
        self._timeout = timeout

    def start(self) -> None:
        """Connect. :raises HypervisorError: libvirt does not answer."""
        self._connection.start()

    def stop(self) -> None:
        """Disconnect; domains stay as they are."""
        self._connection.stop()

    def describe(self, server_id: str) -> Description:
        """See the port."""
        try:
            return self._describe(self._connection.domain(server_id))
        except libvirt.libvirtError as error:
            raise HypervisorError(f"describing server {server_id}: {error.get_error_message()}") from error

    def _describe(self, domain: Any) -> Description:
        power = _POWER.get(domain.state()[0])
        if power is None:
            raise ServerNotMovable(f"server {domain.UUIDString()} neither runs nor is paused")
        found = facts(domain.XMLDesc(MIGRATABLE))
        # Of devices that are refused QEMU need not know what is asked of a disk.
        disks = {} if found.refusals else open_disks(domain)
        refusals = list(found.refusals) or _disk_refusals(domain, found, disks)
        if refusals:
            raise ServerNotMovable("this server has " + "; and ".join(refusals))
        check_first_time(domain)
        _check_blockers(domain)
        return Description(
            needs=needs_of(found, disks),
            power=power,
            memory_bytes=ram_bytes(domain),
            resident_bytes=resident_bytes(domain),
        )

    def power(self, server_id: str) -> str:
        """See the port."""
        try:
            return _POWER.get(self._connection.domain(server_id).state()[0], "off")
        except libvirt.libvirtError as error:
            raise HypervisorError(f"asking for the state of server {server_id}: {error.get_error_message()}") from error

    def has(self, server_id: str) -> bool:
        """See the port."""
        try:
            self._connection.domain(server_id)
        except NotFound:
            return False
        return True

    def source(self, server_id: str, tag: str, workdir: Path, resumed: Callable[[], None]) -> LibvirtSource:
        """See the port."""
        return LibvirtSource(
            connection=self._connection,
            server_id=server_id,
            tag=tag,
            workdir=workdir,
            timeout=self._timeout,
            resumed=resumed,
        )

    def landing(self, server_id: str, workdir: Path) -> LibvirtLanding:
        """See the port."""
        return LibvirtLanding(self._connection, server_id, workdir, self._timeout)


def _disk_refusals(domain: Any, found: DomainFacts, disks: Mapping[str, OpenDisk]) -> list[str]:
    missing = [disk.target for disk in found.disks if disk.target not in disks]
    jobs = [job["type"] for job in monitor.command(domain, "query-block-jobs")]
    return [f"disk {target}, which QEMU does not have open" for target in missing] + [
        f"a block job ({job}) on a disk, for instance of a backup" for job in jobs
    ]


def _check_blockers(domain: Any) -> None:
    """:raises ServerNotMovable: QEMU would not send the guest's state, and says why."""
    blockers = monitor.command(domain, "query-migrate").get("blocked-reasons", ())
    if blockers:
        raise ServerNotMovable(
            f"QEMU does not let this server be migrated: {'; '.join(blockers)}", code="migration-blocked"
        )


def needs_of(found: DomainFacts, open_as: Mapping[str, OpenDisk]) -> dict[str, Any]:
    """The descriptor's part that the hypervisor knows.

    :param open_as: how QEMU has each disk open, by its target.
    """
    return {
        "vm": found.uuid,
        "vcpus": found.vcpus,
        "memory_mb": found.memory_kib // 1024,
        "architecture": found.architecture,
        "machine": found.machine,
        "firmware": found.firmware,
        "cpu": {"mode": found.cpu_mode, "model": found.cpu_model},
        "virt_type": found.virt_type,
        "sysinfo": found.sysinfo,
        "disks": [
            {
                "index": disk.index,
                "target": disk.target,
                "bus": disk.bus,
                "size": open_as[disk.target].size,
                "logical_block_size": open_as[disk.target].logical_block_size,
                "physical_block_size": open_as[disk.target].physical_block_size,
                "encrypted": disk.encrypted,
                "boot": disk.index == 0,
                # Not part of the descriptor: the volume's id, by which its encryption is found in Cinder.
                "serial": disk.serial,
            }
            for disk in found.disks
        ],
        "nics": [dict(nic) for nic in found.nics],
        "devices": list(found.devices),
        "addresses": list(found.addresses),
    }
