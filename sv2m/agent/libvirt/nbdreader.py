# SPDX-License-Identifier: Apache-2.0
"""An NBD client that reads: extents by metadata context, content with several requests under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbd

from sv2m.agent.hypervisor import Extent
from sv2m.errors import HypervisorError

ALLOCATION = "base:allocation"
#: Flags of the context base:allocation: NBD protocol, "Block status extension".
_READS_AS_ZERO = 2
#: A dirty bitmap's context has one flag: the extent is dirty.
_DIRTY = 1
#: Bytes of one question about extents: as much as a 32-bit length carries with room to spare.
_STEP = 1 << 30
#: Requests under way at once: one is read from the disk while the others are on their way or being sealed.
_DEPTH = 4


class NbdReader:
    """A connection to one export.

    :param path: the server's unix socket.
    :param context: :data:`ALLOCATION`, or the context of a dirty bitmap.
    :param cancelled: tells whether to give up.
    :raises HypervisorError: the export cannot be opened, or does not offer the context.
    """

    def __init__(self, path: Path, export: str, context: str, cancelled: Callable[[], bool]) -> None:
        self._context = context
        self._cancelled = cancelled
        self._handle: Any = nbd.NBD()
        try:
            self._handle.add_meta_context(context)
            self._handle.set_export_name(export)
            self._handle.connect_unix(str(path))
            offered = self._handle.can_meta_context(context)
            self.size: int = self._handle.get_size()
        except nbd.Error as error:
            raise HypervisorError(f"QEMU's disk export: {error}") from error
        if not offered:
            raise HypervisorError(f"QEMU's disk export does not offer {context}")

    def extents(self) -> Iterator[Extent]:
        """What there is to copy: all of the disk, or its dirty extents."""
        offset = 0
        while offset < self.size:
            # Few at a time: a fragmented disk has millions, and the agent's memory must not grow with them.
            found: list[tuple[int, int]] = []

            def collect(
                context: str,
                _start: int,
                entries: list[int],
                _error: Any,
                found: list[tuple[int, int]] = found,
            ) -> int:
                if context == self._context:
                    found.extend(zip(entries[::2], entries[1::2], strict=True))
                return 0

            self._check()
            try:
                self._handle.block_status(min(_STEP, self.size - offset), offset, collect)
            except nbd.Error as error:
                raise HypervisorError(f"QEMU's disk export: {error}") from error
            if not found:
                raise HypervisorError("QEMU's disk export told no extents")
            for length, flags in found:
                length_ = min(length, self.size - offset)
                if self._context == ALLOCATION:
                    yield Extent(offset, length_, not flags & _READS_AS_ZERO)
                elif flags & _DIRTY:
                    yield Extent(offset, length_, True)
                offset += length_

    def read(self, extents: Iterator[Extent], chunk: int) -> Iterator[tuple[int, memoryview]]:
        """Content of extents, in order, in pieces of at most ``chunk`` bytes.

        A view is valid until the next step.
        """
        free = [bytearray(chunk) for _ in range(_DEPTH)]
        under_way: deque[tuple[int, int, int, bytearray, Any]] = deque()
        pieces = (
            (extent.offset + start, min(chunk, extent.length - start))
            for extent in extents
            for start in range(0, extent.length, chunk)
        )
        try:
            while True:
                while free and (piece := next(pieces, None)) is not None:
                    offset, length = piece
                    buffer = free.pop()
                    shared = nbd.Buffer.from_buffer(memoryview(buffer)[:length])
                    under_way.append((self._handle.aio_pread(shared, offset), offset, length, buffer, shared))
                if not under_way:
                    return
                cookie, offset, length, buffer, _ = under_way.popleft()
                while not self._handle.aio_command_completed(cookie):
                    self._check()
                    self._handle.poll(1000)
                yield offset, memoryview(buffer)[:length]
                free.append(buffer)
        except nbd.Error as error:
            raise HypervisorError(f"QEMU's disk export: {error}") from error

    def close(self) -> None:
        """End the connection; libnbd does so when the handle goes."""
        self._handle = None

    def _check(self) -> None:
        if self._cancelled():
            raise HypervisorError("reading the disks was cancelled", code="aborted")
