# SPDX-License-Identifier: Apache-2.0
"""A libvirt domain at the source. See :class:`sv2m.agent.hypervisor.Source`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import libvirt

from sv2m.agent import private
from sv2m.agent.libvirt import monitor, settings
from sv2m.agent.libvirt.connection import Connection
from sv2m.agent.libvirt.disks import BitmapDisk, check_recorded
from sv2m.agent.libvirt.export import ExportServer, remove_leftovers
from sv2m.agent.libvirt.layout import Layout, check_layout, read_layout
from sv2m.agent.libvirt.memory import MemoryPipe, resident_bytes
from sv2m.errors import Conflict, HypervisorError, NotFound, ServerChanged

#: File in the job's directory: the domain's layout when its disks were opened, for a restarted agent.
_NOTE = "layout"


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
        layout = read_layout(domain)
        with private.create(self._workdir / _NOTE) as file:
            file.write(layout.to_json())
        self._server = ExportServer(domain, self._tag, self._workdir)
        self._server.start()
        self._disks = [
            BitmapDisk(
                domain=domain,
                target=target,
                index=index,
                disk=disk,
                tag=self._tag,
                server=self._server,
                cancelled=self._cancelled.is_set,
            )
            for index, (target, disk) in enumerate(layout.disks.items())
        ]
        return self._disks

    def check_layout(self) -> None:
        """See the port."""
        check_layout(self._layout(), self._running_domain())

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

    def memory_bytes(self) -> int:
        """See the port."""
        return resident_bytes(self._domain)

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
        layout = self._layout()
        check_layout(layout, domain)
        for target in layout.disks:
            if check_recorded(domain, target, self._tag):
                raise ServerChanged(
                    f"disk {target} of server {self._server_id} was written since its state was taken",
                    code="disk-written",
                )

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
            settings.restore(domain, self._workdir)
            remove_leftovers(domain, self._tag)
        if self._server is not None:
            self._server.path.unlink(missing_ok=True)

    def _layout(self) -> Layout:
        try:
            return Layout.from_json((self._workdir / _NOTE).read_text())
        except (OSError, ValueError) as error:
            raise HypervisorError(f"the note of server {self._server_id}'s layout cannot be read: {error}") from error

    def _running_domain(self) -> Any:
        domain = self._active_domain()
        if domain is None:
            raise HypervisorError(
                f"server {self._server_id} has ended: it was shut down from within, or its QEMU crashed",
                code="server-ended",
                remedy="Start the server, and a new migration. The logs of libvirt and QEMU may say why it ended.",
            )
        return domain

    def _active_domain(self) -> Any | None:
        try:
            domain = self._domain
            return domain if domain.isActive() else None
        except NotFound:
            return None
        except libvirt.libvirtError as error:
            raise HypervisorError(f"libvirt: {error.get_error_message()}") from error
