# SPDX-License-Identifier: Apache-2.0
"""Reading a running domain's disks through an NBD server inside its own QEMU, which decrypts them.

The agent makes the listening socket in its private directory and hands QEMU the file descriptor: QEMU needs
no right to any path, and nobody else can connect.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from oslo_log import log

from sv2m.agent.libvirt import monitor

LOG = log.getLogger(__name__)


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
        monitor.command(self._domain, "nbd-server-start", addr={"type": "fd", "data": {"str": self._tag}})
        self._runs = True

    def add(self, export: str, node: str, bitmap: str | None) -> None:
        """Offer one node read-only, with the bitmap whose extents a client may ask for."""
        arguments: dict[str, Any] = {"type": "nbd", "id": export, "node_name": node, "name": export}
        if bitmap is not None:
            arguments["bitmaps"] = [bitmap]
        monitor.command(self._domain, "block-export-add", **arguments)

    def remove(self, export: str) -> None:
        """Withdraw an export, whoever is connected."""
        monitor.command(self._domain, "block-export-del", id=export, mode="hard")

    def stop(self) -> None:
        """Stop the server and remove the socket; nothing to do if it does not run."""
        if self._runs:
            monitor.command(self._domain, "nbd-server-stop")
            self._runs = False
        self.path.unlink(missing_ok=True)


def remove_leftovers(domain: Any, tag: str) -> None:
    """Remove everything of a migration from a domain's block layer: exports, their server, bitmaps.

    It goes by ``tag``, not by memory of what was done, so that it also works for a process that was killed.
    """
    exports = [entry["id"] for entry in monitor.command(domain, "query-block-exports")]
    ours = [export for export in exports if export.startswith(tag)]
    for export in ours:
        # The export may be in the middle of its removal already; the query below tells.
        monitor.command(domain, "block-export-del", id=export, mode="hard")
    if ours and len(ours) == len(exports):
        monitor.command(domain, "nbd-server-stop")
    for node in monitor.command(domain, "query-named-block-nodes", flat=True):
        for bitmap in node.get("dirty-bitmaps", ()):
            if bitmap.get("name", "").startswith(tag):
                monitor.command(
                    domain, "block-dirty-bitmap-remove", node=node["node-name"], name=bitmap["name"]
                )
