# SPDX-License-Identifier: Apache-2.0
"""A libvirt domain at the source. See :class:`sv2m.agent.hypervisor.Source`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import libvirt

from sv2m.agent.libvirt import monitor
from sv2m.agent.libvirt.connection import Connection
from sv2m.agent.libvirt.disks import BitmapDisk
from sv2m.agent.libvirt.domain import facts
from sv2m.agent.libvirt.export import ExportServer, remove_leftovers
from sv2m.agent.libvirt.memory import MemoryPipe, restore_bandwidth
from sv2m.errors import Conflict, HypervisorError, NotFound

_FLAGS = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE


def check_first_time(domain: Any) -> None:
    """QEMU sends the state of a stopped guest once; the guest must run before it can be sent again.

    :raises Conflict: it was sent and has not run since.
    """
    if monitor.command(domain, "query-status")["status"] == "postmigrate":
        raise Conflict(
            "the state of this paused server was taken once already and it has not run since",
            code="taken-already",
            remedy="Unpause the server, pause it again if it is to stay paused, and try again.",
        )


class LibvirtSource:
    """One domain that is being taken out.

    :param timeout: seconds that QEMU may take for one step.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        server_id: str,
        tag: str,
        workdir: Path,
        timeout: float,
        resumed: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._server_id = server_id
        self._tag = tag
        self._workdir = workdir
        self._timeout = timeout
        self._cancelled = threading.Event()
        self._server: ExportServer | None = None
        self._disks: list[BitmapDisk] = []
        self._memory: MemoryPipe | None = None
        connection.watch_resumed(server_id, resumed)

    @property
    def _domain(self) -> Any:
        return self._connection.domain(self._server_id)

    def open_disks(self) -> Sequence[BitmapDisk]:
        """See the port."""
        domain = self._domain
        check_first_time(domain)
        found = facts(domain.XMLDesc(_FLAGS))
        self._server = ExportServer(domain, self._tag, self._workdir)
        self._server.start()
        self._disks = [
            BitmapDisk(domain, disk, self._tag, self._server, self._cancelled.is_set) for disk in found.disks
        ]
        return self._disks

    def close_disks(self) -> None:
        """See the port."""
        for disk in self._disks:
            disk.close()
        if self._server is not None:
            self._server.stop()

    def check_stopped(self) -> None:
        """See the port."""
        domain = self._domain
        state, _ = domain.state()
        if state != libvirt.VIR_DOMAIN_PAUSED or monitor.command(domain, "query-status")["running"]:
            raise HypervisorError(f"server {self._server_id} was to be paused and is not")

    def memory(self) -> MemoryPipe:
        """See the port."""
        self._memory = MemoryPipe(
            domain=self._domain,
            tag=self._tag,
            workdir=self._workdir,
            timeout=self._timeout,
            cancelled=self._cancelled.is_set,
        )
        self._memory.start()
        return self._memory

    def check_unchanged(self) -> None:
        """See the port.

        ``postmigrate`` is a state that QEMU leaves when the guest runs, and never comes back to.
        """
        domain = self._domain
        status = monitor.command(domain, "query-status")["status"]
        migration = monitor.command(domain, "query-migrate").get("status")
        if status != "postmigrate" or migration != "completed":
            raise Conflict(f"server {self._server_id} has run since its state was taken (QEMU says {status})")
        written = [
            bitmap["name"]
            for node in monitor.command(domain, "query-named-block-nodes", flat=True)
            for bitmap in node.get("dirty-bitmaps", ())
            if bitmap.get("name", "").startswith(self._tag) and bitmap["count"]
        ]
        if written:
            raise Conflict(f"a disk of server {self._server_id} was written since its state was taken")

    def cancel(self) -> None:
        """See the port."""
        self._cancelled.set()

    def undo(self) -> None:
        """See the port. A domain that is gone has nothing left in it."""
        self._connection.unwatch(self._server_id)
        for disk in self._disks:
            disk.hang_up()
        domain = self._active_domain()
        if self._memory is not None:
            # Where there is no QEMU any more, only our end of the pipe is left.
            self._memory.close() if domain is None else self._memory.undo(domain)
        if domain is not None:
            restore_bandwidth(domain, self._workdir)
            remove_leftovers(domain, self._tag)
        if self._server is not None:
            self._server.path.unlink(missing_ok=True)

    def _active_domain(self) -> Any | None:
        try:
            domain = self._domain
            return domain if domain.isActive() else None
        except NotFound:
            return None
        except libvirt.libvirtError as error:
            raise HypervisorError(f"libvirt: {error.get_error_message()}") from error
