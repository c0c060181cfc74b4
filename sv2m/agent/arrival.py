# SPDX-License-Identifier: Apache-2.0
"""What B does with verified plaintext: disk records become writes, then memory goes to the restore.

What is confirmed to A is stored, but for a bounded rest in the caches of this host: a disk is flushed whenever so much
was written since its last flush, and when nothing comes for a moment, as before the guest is stopped. B is not told
where a round ends, and need not be: the rest is small at any time, and so is the flush in which the guest stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sv2m.agent.hypervisor import Landing, LandingDisk
from sv2m.edm.spec import StreamSpec
from sv2m.errors import Conflict, SV2MError
from sv2m.protocol.manifest import Manifest
from sv2m.protocol.plan import DISK
from sv2m.protocol.records import Data, RecordReader

#: Bytes of a disk that may wait for a flush.
_UNFLUSHED = 256 << 20


class _Disk:
    """A disk that is being written from its log."""

    def __init__(self, disk: LandingDisk, size: int) -> None:
        self._disk = disk
        self._reader = RecordReader(size)
        self._unflushed = 0

    def write(self, plaintext: memoryview) -> int:
        """Replay the log's next segment. :returns: how many bytes of the disk it made."""
        stored = 0
        for record in self._reader.feed(plaintext):
            if isinstance(record, Data):
                self._disk.write(record.offset, record.content)
                self._wrote(len(record.content))
                stored += len(record.content)
            else:
                self._zero(record.offset, record.length)
                stored += record.length
        return stored

    def flush(self) -> None:
        """Bring what was written to stable storage."""
        if self._unflushed:
            self._disk.flush()
            self._unflushed = 0

    def finish(self) -> None:
        """:raises MalformedMessage: the log ends in the middle."""
        self._reader.finish()

    def _zero(self, offset: int, length: int) -> None:
        while length:
            count = min(_UNFLUSHED - self._unflushed, length)
            self._disk.zero(offset, count)
            self._wrote(count)
            offset, length = offset + count, length - count

    def _wrote(self, count: int) -> None:
        self._unflushed += count
        if self._unflushed >= _UNFLUSHED:
            self.flush()


class Arrival:
    """The sink of a destination's session.

    :param moved: told how many bytes came, and how many of the disk or the memory they stand for.
    :param broken: told when the session is over because of an error.
    """

    def __init__(
        self,
        streams: Sequence[StreamSpec],
        disks: Sequence[LandingDisk],
        landing: Landing,
        moved: Callable[[int, int], None],
        broken: Callable[[SV2MError], None],
    ) -> None:
        by_index = {disk.index: disk for disk in disks}
        planned = {stream.index: stream for stream in streams if stream.kind == DISK}
        if set(by_index) != set(planned):
            raise Conflict(f"the plan has disks {sorted(planned)}, the placeholder {sorted(by_index)}")
        for index, stream in planned.items():
            if by_index[index].size < stream.size:
                raise Conflict(
                    f"disk {index} has {stream.size} bytes at the source, {by_index[index].size} here",
                    code="placeholder-differs",
                    remedy="The destination's volume type must give volumes at least the source's size.",
                )
        self._disks = {stream.id: _Disk(by_index[stream.index], stream.size) for stream in planned.values()}
        self._landing = landing
        self._moved = moved
        self._broken = broken
        self._memory_began = False
        self.manifest = Manifest()
        self.lengths = dict.fromkeys((stream.id for stream in streams), 0)

    def consume(self, stream: int, index: int, plaintext: memoryview, digest: bytes) -> None:
        """See Sink."""
        self.manifest.add(stream, index, digest)
        stored = len(plaintext)
        if stream in self._disks:
            stored = self._write(stream, plaintext)
        else:
            self._begin_memory()
            self._landing.write_memory(plaintext)
        self.lengths[stream] += len(plaintext)
        self._moved(len(plaintext), stored)

    def quiet(self) -> None:
        """See Sink."""
        if not self._memory_began:
            for disk in self._disks.values():
                disk.flush()

    def failed(self, error: SV2MError) -> None:
        """See Sink."""
        self._broken(error)

    def finish(self) -> None:
        """:raises MalformedMessage: a disk's log ends in the middle. :raises Conflict: no memory came."""
        for disk in self._disks.values():
            disk.finish()
        if not self._memory_began:
            raise Conflict("no memory came")

    def _write(self, stream: int, plaintext: memoryview) -> int:
        if self._memory_began:
            raise Conflict("disk data came after memory", code="out-of-order")
        return self._disks[stream].write(plaintext)

    def _begin_memory(self) -> None:
        if self._memory_began:
            return
        for disk in self._disks.values():
            disk.finish()
        self._memory_began = True
        # QEMU locks the disks when it starts, and finds on them what it will find for ever: they come first.
        self._landing.close_disks()
        self._landing.start_restore()
