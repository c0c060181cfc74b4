# SPDX-License-Identifier: Apache-2.0
"""Reading a running domain's disks through an NBD server inside its own QEMU, which decrypts them.

The agent makes the listening socket in its private directory and hands QEMU the file descriptor: QEMU needs
no right to any path, and nobody else can connect.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from oslo_log import log

from sv2m.agent.libvirt import monitor
from sv2m.errors import HypervisorError

LOG = log.getLogger(__name__)

#: Seconds that QEMU has to end an export whose client has gone.
_PATIENCE = 20.0


class ExportServer:
    """QEMU's NBD server for one domain, while a migration needs it."""

    def __init__(self, domain: Any, tag: str, workdir: Path) -> None:
        self._domain = domain
        self._tag = tag
        self.path = workdir / "export.sock"
        self._runs = False

    def start(self) -> None:
        """:raises HypervisorError: the domain has an NBD server already, for a backup for instance."""
        self.path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self.path))
            os.chmod(self.path, 0o600)
            listener.listen(8)
            monitor.command(self._domain, "getfd", files=[listener.fileno()], fdname=self._tag)
        try:
            monitor.command(self._domain, "nbd-server-start", addr={"type": "fd", "data": {"str": self._tag}})
        except HypervisorError:
            monitor.command(self._domain, "closefd", fdname=self._tag)
            raise
        self._runs = True

    def add(self, export: str, node: str, bitmap: str | None) -> None:
        """Offer one node read-only, with the bitmap whose extents a client may ask for."""
        arguments: dict[str, Any] = {"type": "nbd", "id": export, "node_name": node, "name": export}
        if bitmap is not None:
            arguments["bitmaps"] = [bitmap]
        monitor.command(self._domain, "block-export-add", **arguments)

    def remove(self, export: str) -> None:
        """Withdraw an export. Its client has closed its connection before."""
        monitor.command(self._domain, "block-export-del", id=export, mode="hard")
        _await_gone(self._domain, export)

    def stop(self) -> None:
        """Stop the server and remove the socket; nothing to do if it does not run."""
        if self._runs:
            monitor.command(self._domain, "nbd-server-stop")
            self._runs = False
        self.path.unlink(missing_ok=True)


def remove_leftovers(domain: Any, tag: str) -> None:
    """Remove everything of a migration from a domain's block layer: exports, their server, bitmaps.

    It goes by ``tag``, not by memory of what was done, so that it also works for a process that was killed.
    Whoever read from the exports has closed its connections before.

    :raises HypervisorError: something could not be removed.
    """
    for entry in monitor.command(domain, "query-block-exports"):
        if entry["id"].startswith(tag) and not entry["shutting-down"]:
            monitor.command(domain, "block-export-del", id=entry["id"], mode="hard")
    _await_gone(domain, tag)
    if not monitor.command(domain, "query-block-exports"):
        try:
            monitor.command(domain, "nbd-server-stop")
        except HypervisorError as error:
            # QEMU cannot be asked whether its server runs; without exports it is nobody else's.
            LOG.debug("no NBD server was left: %s", error)
    for node in monitor.command(domain, "query-named-block-nodes", flat=True):
        for bitmap in node.get("dirty-bitmaps", ()):
            if bitmap.get("name", "").startswith(tag):
                monitor.command(domain, "block-dirty-bitmap-remove", node=node["node-name"], name=bitmap["name"])


def _await_gone(domain: Any, prefix: str) -> None:
    """Wait until exports have gone. QEMU's monitor stops for good if its server is stopped with them busy."""
    deadline = time.monotonic() + _PATIENCE
    while any(entry["id"].startswith(prefix) for entry in monitor.command(domain, "query-block-exports")):
        if time.monotonic() > deadline:
            raise HypervisorError("QEMU does not let go of a disk's export")
        time.sleep(0.01)
