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
from sv2m.agent.libvirt.export import ExportServer
from sv2m.agent.libvirt.layout import OpenDisk, bitmaps
from sv2m.agent.libvirt.nbdreader import ALLOCATION, NbdReader
from sv2m.errors import HypervisorError, ServerChanged


def check_recorded(domain: Any, target: str, prefix: str) -> int:
    """Bytes marked in the bitmap of a migration on the node that the guest writes a disk to.

    :param prefix: how the bitmap's name begins.
    :raises ServerChanged: there is none, or it does not record.
    """
    found = [bitmap for bitmap in bitmaps(domain, target) if bitmap.name.startswith(prefix)]
    if not any(bitmap.recording for bitmap in found):
        raise ServerChanged(
            f"QEMU has lost the record of changes of disk {target}: somebody removed it or changed the image",
            code="record-lost",
        )
    return max(bitmap.count for bitmap in found)


class BitmapDisk:
    """One disk. See :class:`sv2m.agent.hypervisor.SourceDisk`.

    :param disk: as QEMU had it open when the migration began; the rounds read and watch its node.
    """

    def __init__(
        self,
        *,
        domain: Any,
        target: str,
        index: int,
        disk: OpenDisk,
        tag: str,
        server: ExportServer,
        cancelled: Callable[[], bool],
    ) -> None:
        self.index = index
        self.size = disk.size
        self._node = disk.node
        self._target = target
        self._domain = domain
        self._name = f"{tag}-{index}"
        self._server = server
        self._cancelled = cancelled
        self._round = 0
        self._reader: NbdReader | None = None
        self._former: str | None = None
        self._newest: str | None = None

    def data_bytes(self) -> int:
        """See the port."""
        export = f"{self._name}-data"
        self._server.add(export, self._node, None)
        self._reader = NbdReader(self._server.path, export, ALLOCATION, self._cancelled)
        try:
            return sum(extent.length for extent in self._reader.extents() if extent.data)
        finally:
            self._reader.close()
            self._reader = None
            self._server.remove(export)

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
        """Bytes marked in the newest bitmap.

        :raises ServerChanged: what the guest writes is not in it.
        """
        return check_recorded(self._domain, self._target, str(self._newest))

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
