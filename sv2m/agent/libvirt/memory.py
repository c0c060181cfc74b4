# SPDX-License-Identifier: Apache-2.0
"""Memory out of a stopped QEMU: ``migrate`` into a pipe, no file, with back-pressure.

The domain stays where it is, paused in QEMU's state ``postmigrate``; a resume continues it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
from oslo_log import log

from sv2m.agent.libvirt import monitor, settings
from sv2m.errors import HypervisorError, SV2MError

LOG = log.getLogger(__name__)

_PIPE_BYTES = 1 << 20
#: QEMU's default is 128 MiB/s. The pipe's reader sets the pace; this only takes QEMU's own brake off.
_MAX_BANDWIDTH = 1 << 50


def ram_bytes(domain: Any) -> int:
    """The guest's RAM."""
    return int(monitor.command(domain, "query-memory-size-summary")["base-memory"])


def resident_bytes(domain: Any) -> int:
    """About what the guest has of its RAM: pages that it never touched are not sent.

    What QEMU itself has is counted, too; what lies in the host's swap is not.

    :raises HypervisorError: libvirt does not say.
    """
    try:
        resident = int(domain.memoryStats().get("rss", 0)) << 10
    except libvirt.libvirtError as error:
        raise HypervisorError(f"libvirt: {error.get_error_message()}") from error
    return min(ram_bytes(domain), resident) if resident else ram_bytes(domain)


class MemoryPipe:
    """See :class:`sv2m.agent.hypervisor.MemoryStream`.

    :param tag: name of the file descriptor inside QEMU.
    :param workdir: the job's private directory; remembers QEMU's settings for a restarted agent.
    :param timeout: seconds that QEMU may take to report the end.
    """

    def __init__(self, domain: Any, tag: str, workdir: Path, timeout: float, cancelled: Callable[[], bool]) -> None:
        self._domain = domain
        self._tag = tag
        self._timeout = timeout
        self._cancelled = cancelled
        self._workdir = workdir
        self._reader = -1
        self._migrates = False

    def start(self) -> None:
        """Hand QEMU the pipe and let it write. :raises HypervisorError: QEMU refuses."""
        settings.change(self._domain, self._workdir, max_bandwidth=_MAX_BANDWIDTH)
        self._reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            monitor.command(self._domain, "getfd", files=[writer], fdname=self._tag)
        finally:
            os.close(writer)
        monitor.command(self._domain, "migrate", uri=f"fd:{self._tag}")
        self._migrates = True

    def read_into(self, buffer: memoryview) -> int:
        """See the port."""
        while True:
            if self._cancelled():
                raise HypervisorError("reading the memory was cancelled", code="aborted")
            if select.select([self._reader], [], [], 0.5)[0]:
                try:
                    return os.readv(self._reader, [buffer])
                except OSError as error:
                    if error.errno != errno.EINTR:
                        raise HypervisorError(f"reading the memory: {error.strerror}") from error

    def finish(self) -> None:
        """See the port. After the end of the stream QEMU still does a little before it says ``completed``."""
        deadline = time.monotonic() + self._timeout
        while (status := self._status()) != "completed":
            if status in ("failed", "cancelled", "none") or time.monotonic() > deadline:
                raise HypervisorError(f"QEMU did not complete the memory stream: {status}")
            time.sleep(0.01)
        self._migrates = False
        self.undo(self._domain)

    def undo(self, domain: Any) -> None:
        """Cancel what is under way, and set back what was changed of QEMU. May be repeated.

        :param domain: the same domain as now found: what :meth:`start` was given is dead when libvirtd has died since.
        """
        self._domain = domain
        if self._migrates and self._status() in (
            "setup",
            "active",
            "device",
            "pre-switchover",
            "wait-unplug",
        ):
            monitor.command(self._domain, "migrate_cancel")
        self._migrates = False
        self.close()
        if settings.are_changed(self._workdir):
            self._forget_descriptor()
            settings.restore(self._domain, self._workdir)

    def close(self) -> None:
        """Let go of the pipe. May be repeated."""
        reader, self._reader = self._reader, -1
        if reader >= 0:
            os.close(reader)

    def _status(self) -> str:
        return str(monitor.command(self._domain, "query-migrate").get("status", "none"))

    def _forget_descriptor(self) -> None:
        try:
            monitor.command(self._domain, "closefd", fdname=self._tag)
        except SV2MError as error:
            # The usual case: `migrate` took the descriptor and QEMU has closed it.
            LOG.debug("no descriptor left in QEMU: %s", error)
