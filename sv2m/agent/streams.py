# SPDX-License-Identifier: Apache-2.0
"""Between plaintext and segments.

One buffer of plaintext per job, filled, sealed into the sender's window, reused.
"""

from __future__ import annotations

from collections.abc import Callable

from sv2m.edm.ports import Total
from sv2m.edm.spec import StreamSpec
from sv2m.errors import ServerNotMovable
from sv2m.protocol import records
from sv2m.protocol.segments import Manifest, Sealer
from sv2m.transfer.window import Window
from sv2m.transfer.wire import Mark

#: Bytes that are looked at together for being all zero.
_GRAIN = 64 << 10
_ZEROS = bytes(_GRAIN)


class StreamWriter:
    """Writes one stream. Writers of one job share ``plaintext``: each flushes before another writes.

    :param plaintext: at least as large as the largest segment of the plan.
    :param sent: told how many bytes of plaintext a segment has that is on its way.
    """

    def __init__(  # noqa: PLR0917 - what a job's streams share, in the order in which it is used
        self,
        spec: StreamSpec,
        sealer: Sealer,
        window: Window,
        manifest: Manifest,
        plaintext: bytearray,
        sent: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._spec = spec
        self._sealer = sealer
        self._window = window
        self._manifest = manifest
        self._sent = sent
        self._plaintext = memoryview(plaintext)[: spec.segment_size]
        self._filled = 0
        self._index = 0
        self.length = 0

    @property
    def total(self) -> Total:
        """What the stream has so far."""
        return Total(self._spec.id, self._index, self.length)

    @property
    def size(self) -> int:
        """Bytes of the disk, or of the memory."""
        return self._spec.size

    @property
    def index(self) -> int:
        """The segment that is being filled."""
        return self._index

    def room(self) -> memoryview:
        """Where the next bytes may be put; say how many by :meth:`advance`."""
        return self._plaintext[self._filled :]

    def advance(self, count: int) -> None:
        """``count`` bytes were put into :meth:`room`."""
        self._filled += count
        if self._filled == len(self._plaintext):
            self.flush()

    def write(self, data: memoryview | bytes) -> None:
        """Append bytes."""
        view = memoryview(data)
        while view:
            room = self.room()
            count = min(len(room), len(view))
            room[:count] = view[:count]
            self.advance(count)
            view = view[count:]

    def flush(self) -> None:
        """Seal what there is as a segment, shorter than others if need be. Empty segments do not exist.

        Every (stream, index) is sealed here and once only: the index grows before anything can go wrong.
        """
        if not self._filled:
            return
        if self._index == self._spec.segments:
            raise ServerNotMovable(f"stream {self._spec.id} would need more than the planned {self._index} segments")
        index, self._index = self._index, self._index + 1
        room = self._window.buffer()
        plain = self._plaintext[: self._filled]
        length, digest = self._sealer.seal(self._spec.id, index, plain, memoryview(room))
        self._manifest.add(self._spec.id, index, digest)
        self._window.submit(Mark(self._spec.id, index), length)
        self.length += self._filled
        self._sent(self._filled)
        self._filled = 0


class RecordWriter:
    """Writes a disk's stream: records of data and of zeros, within the bounds that B holds to."""

    def __init__(self, writer: StreamWriter) -> None:
        self.stream = writer
        #: What all further records may count for, see records.most_work().
        self.left = records.most_work(writer.size)
        self._most_zeros = records.zeros_of_a_segment(writer.size)
        self._zeros = 0
        self._segment = 0

    def zero(self, offset: int, length: int) -> None:
        """A run that reads as zeros: a segment ends when it stands for as many of them as one may."""
        while length:
            if len(self.stream.room()) < records.HEADER.size:
                # A record counts where its header ends: none of zeros lies in two segments.
                self.stream.flush()
            if self._segment != self.stream.index:
                self._segment, self._zeros = self.stream.index, 0
            count = min(length, self._most_zeros - self._zeros)
            self._count(count)
            self._zeros += count
            self.stream.write(records.zero_record(offset, count))
            if self._zeros == self._most_zeros:
                self.stream.flush()
            offset, length = offset + count, length - count

    def data(self, offset: int, data: memoryview) -> None:
        """A run of bytes; what of it is zero, in grains of 64 KiB, travels as such."""
        start = 0
        while start < len(data):
            zero = _is_zero(data, start)
            end = start + _GRAIN
            while end < len(data) and _is_zero(data, end) == zero:
                end += _GRAIN
            end = min(end, len(data))
            if zero:
                self.zero(offset + start, end - start)
            else:
                self._count(end - start)
                self.stream.write(records.data_header(offset + start, end - start))
                self.stream.write(data[start:end])
            start = end

    def _count(self, length: int) -> None:
        self.left -= records.work_of(length)
        if self.left < 0:
            raise ServerNotMovable(
                f"disk stream {self.stream.total.id} would write its {self.stream.size} bytes more often than planned",
                code="not-converging",
                remedy="The server writes to its disks faster than they can be sent; try again when it is calm.",
            )


def _is_zero(data: memoryview, start: int) -> bool:
    grain = data[start : start + _GRAIN]
    # The first byte spares most of the copies that the fast comparison needs.
    return not grain[0] and grain.tobytes() == _ZEROS[: len(grain)]
