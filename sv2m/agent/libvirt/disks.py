# SPDX-License-Identifier: Apache-2.0
"""A disk of a domain in rounds: everything, then what changed, by QEMU's dirty bitmaps and its NBD server.

The bitmaps are not persistent: they live in QEMU's memory and leave no trace in an image, whatever its
format. A new bitmap records before the former one stops, so that no write falls between two rounds; one that
falls into both is copied twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sv2m.agent.hypervisor import Extent
from sv2m.agent.libvirt import monitor
from sv2m.agent.libvirt.domain import DomainDisk, aliases
from sv2m.agent.libvirt.export import ExportServer
from sv2m.agent.libvirt.nbdreader import ALLOCATION, NbdReader
from sv2m.errors import HypervisorError


def block_devices(domain: Any) -> dict[str, dict[str, Any]]:
    """QEMU's block devices by the target that libvirt gives them: the ``inserted`` part of ``query-block``.

    :raises HypervisorError: QEMU's devices and libvirt's disks cannot be told apart.
    """
    inserted = {}
    for device in monitor.command(domain, "query-block"):
        if device.get("inserted"):
            # /machine/peripheral/virtio-disk0/virtio-backend, or the alias itself
            for part in device.get("qdev", "").split("/"):
                inserted[part] = device["inserted"]
    named = aliases(domain.XMLDesc(0))
    found = {target: inserted[alias] for target, alias in named.items() if alias and alias in inserted}
    nodes = [device["node-name"] for device in found.values()]
    if len(set(nodes)) != len(nodes):
        raise HypervisorError("two disks of this server are one block device in QEMU")
    return found


class BitmapDisk:
    """One disk. See :class:`sv2m.agent.hypervisor.SourceDisk`."""

    def __init__(
        self, domain: Any, disk: DomainDisk, tag: str, server: ExportServer, cancelled: Callable[[], bool]
    ) -> None:
        inserted = block_devices(domain).get(disk.target)
        if inserted is None:
            raise HypervisorError(f"QEMU knows no disk {disk.target}")
        self.index = disk.index
        self.size: int = inserted["image"]["virtual-size"]
        self._node: str = inserted["node-name"]
        self._domain = domain
        self._name = f"{tag}-{disk.index}"
        self._server = server
        self._cancelled = cancelled
        self._round = 0
        self._reader: NbdReader | None = None
        self._former: str | None = None
        self._newest: str | None = None

    def round(self, last: bool) -> Iterator[Extent]:
        """Begin the next round.

        See the port; the last one's new bitmap is what ``changed`` is asked about.
        """
        self._end_round()
        self._former, self._newest = self._newest, f"{self._name}-{self._round}"
        monitor.command(self._domain, "block-dirty-bitmap-add", node=self._node, name=self._newest, persistent=False)
        if self._former is not None:
            monitor.command(self._domain, "block-dirty-bitmap-disable", node=self._node, name=self._former)
        self._round += 1
        self._server.add(self._name, self._node, self._former)
        context = ALLOCATION if self._former is None else f"qemu:dirty-bitmap:{self._former}"
        self._reader = NbdReader(self._server.path, self._name, context, self._cancelled)
        return self._reader.extents()

    def read(self, extents: Iterator[Extent], chunk: int) -> Iterator[tuple[int, memoryview]]:
        """See the port."""
        if self._reader is None:
            raise HypervisorError("no round was begun")
        return self._reader.read(extents, chunk)

    def changed(self) -> int:
        """Bytes marked in the newest bitmap."""
        for node in monitor.command(self._domain, "query-named-block-nodes", flat=True):
            if node["node-name"] == self._node:
                for bitmap in node.get("dirty-bitmaps", ()):
                    if bitmap.get("name") == self._newest:
                        return int(bitmap["count"])
        raise HypervisorError(f"QEMU has lost the record of changes of disk {self.index}")

    def close(self) -> None:
        """No more rounds; the newest bitmap goes on recording."""
        self._end_round()

    def hang_up(self) -> None:
        """Only close the connection, whatever is under way on it: the first step of undoing."""
        if self._reader is not None:
            self._reader.close()

    def _end_round(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self._server.remove(self._name)
        if self._former is not None:
            monitor.command(self._domain, "block-dirty-bitmap-remove", node=self._node, name=self._former)
            self._former = None
