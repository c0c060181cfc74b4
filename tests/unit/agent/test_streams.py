# SPDX-License-Identifier: Apache-2.0
"""Plaintext to segments and back: records of data and zeros, replayed into an image, give the disk."""

from __future__ import annotations

import os
import random

import pytest

from sv2m.agent.arrival import Arrival
from sv2m.agent.streams import RecordWriter, StreamWriter
from sv2m.edm.spec import StreamSpec
from sv2m.errors import Conflict, MalformedMessage, PeerError, ServerNotMovable
from sv2m.protocol import records
from sv2m.protocol.segments import OVERHEAD, Manifest, Opener, Sealer
from sv2m.transfer.window import Sealed, Window

SEGMENT = 4 << 20
VMK = bytes(range(32))


class Disk:
    """A disk in memory."""

    index = 0

    def __init__(self, size: int) -> None:
        self.size = size
        # What a placeholder left there must not shine through.
        self.content = bytearray(b"\xee" * size)

    def write(self, offset: int, data: memoryview) -> None:
        self.content[offset : offset + len(data)] = data

    def zero(self, offset: int, length: int) -> None:
        self.content[offset : offset + length] = bytes(length)

    def flush(self) -> None:
        """Nothing is cached."""


class Landing:
    """Remembers in which order it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.memory = bytearray()

    def close_disks(self) -> None:
        self.asked.append("close")

    def start_restore(self) -> None:
        self.asked.append("restore")

    def write_memory(self, data: memoryview) -> None:
        self.memory += data


class Line:
    """Writers at one end, an arrival at the other, no network between."""

    def __init__(self, disk: Disk) -> None:
        self.specs = (StreamSpec(1, "disk", 0, SEGMENT, disk.size), StreamSpec(2, "memory", 0, SEGMENT, 8 << 20))
        self.landing, self.manifest = Landing(), Manifest()
        self.sent, self.came, self.stored = 0, 0, 0
        self.arrival = Arrival(self.specs, [disk], self.landing, self._moved, lambda _: None)  # type: ignore[arg-type]
        self._window = Window(SEGMENT + OVERHEAD, 2)
        self._opener, self._out = Opener(VMK), bytearray(SEGMENT)
        sealer, plaintext = Sealer(VMK), bytearray(SEGMENT)
        self.disk, self.memory = (
            StreamWriter(spec, sealer, self._window, self.manifest, plaintext, self._told) for spec in self.specs
        )
        self._window.submit = self._deliver  # type: ignore[method-assign]

    def _told(self, count: int) -> None:
        self.sent += count

    def _moved(self, came: int, stored: int) -> None:
        self.came += came
        self.stored += stored

    def _deliver(self, mark: object, length: int) -> None:
        Window.submit(self._window, mark, length)  # type: ignore[arg-type]
        sealed = self._window.next(lambda: False)
        assert isinstance(sealed, Sealed)
        stream, index = sealed.mark.stream, sealed.mark.index
        plain, digest = self._opener.open(stream, index, sealed.content, self._out)
        self.arrival.consume(stream, index, memoryview(self._out)[:plain], digest)
        self._window.confirm(sealed.mark)


def test_a_disk_is_what_it_was_whatever_the_placeholder_left() -> None:
    rng = random.Random(7)
    size = (9 << 20) + 512
    content = bytearray(size)
    for _ in range(40):
        start = rng.randrange(size)
        length = min(rng.choice([1, 512, 70_000, 900_000]), size - start)
        content[start : start + length] = rng.randbytes(length)
    disk = Disk(size)
    line = Line(disk)
    log = RecordWriter(line.disk)
    for start in range(0, size, 1 << 20):
        log.data(start, memoryview(content)[start : start + (1 << 20)])
    log.data(4096, memoryview(b"again" * 1000))
    content[4096 : 4096 + 5000] = b"again" * 1000
    line.disk.flush()
    line.memory.write(b"m" * 1000)
    line.memory.flush()
    assert disk.content == content
    assert line.landing.asked == ["close", "restore"]
    assert line.landing.memory == b"m" * 1000
    line.manifest.compare(line.arrival.manifest)
    line.arrival.finish()


def test_both_ends_count_the_same_bytes_and_holes_apart() -> None:
    disk = Disk(64 << 20)
    line = Line(disk)
    records = RecordWriter(line.disk)
    records.zero(0, 60 << 20)
    records.data(60 << 20, memoryview(b"x" * (4 << 20)))
    line.disk.flush()
    line.memory.write(b"m" * 1000)
    line.memory.flush()
    assert line.sent == line.came == line.disk.length + line.memory.length
    assert 4 << 20 < line.sent < 5 << 20
    assert line.stored == (64 << 20) + 1000


def test_zeros_do_not_travel() -> None:
    disk = Disk(64 << 20)
    line = Line(disk)
    log = RecordWriter(line.disk)
    for start in range(0, disk.size, 1 << 20):
        log.data(start, memoryview(bytes(1 << 20)))
    line.disk.flush()
    assert line.disk.length < 2000
    assert disk.content == bytes(disk.size)


def test_an_empty_flush_makes_no_segment() -> None:
    line = Line(Disk(1 << 20))
    line.disk.flush()
    assert line.disk.total.segments == 0


def test_a_full_buffer_is_a_segment() -> None:
    line = Line(Disk(1 << 20))
    line.memory.write(os.urandom(2 * SEGMENT + 1))
    line.memory.flush()
    assert (line.memory.total.segments, line.memory.total.length) == (3, 2 * SEGMENT + 1)


def test_more_memory_than_planned_is_not_sent() -> None:
    line = Line(Disk(1 << 20))
    block = os.urandom(SEGMENT)
    with pytest.raises(ServerNotMovable, match="more than the planned"):
        while True:
            line.memory.write(block)
    assert line.memory.total.segments == line.specs[1].segments


class Sparse(Disk):
    """A disk of any size, of which only how much was written is kept, by segment."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.zeroed: list[int] = []
        self.unflushed = self.most_unflushed = 0

    def write(self, offset: int, data: memoryview) -> None:
        self._wrote(len(data))

    def zero(self, offset: int, length: int) -> None:
        self.zeroed.append(length)
        self._wrote(length)

    def flush(self) -> None:
        self.unflushed = 0

    def _wrote(self, length: int) -> None:
        self.unflushed += length
        self.most_unflushed = max(self.most_unflushed, self.unflushed)


def test_a_terabyte_of_zeros_is_many_segments() -> None:
    """A segment is confirmed when it is stored, and an encrypted disk has to write each zero of it."""
    disk = Sparse(1 << 40)
    line = Line(disk)
    RecordWriter(line.disk).zero(0, disk.size)
    line.disk.flush()
    assert line.disk.total.segments == 1024
    assert sum(disk.zeroed) == 1 << 40


def test_the_largest_disk_of_nothing_leaves_most_segments_to_others() -> None:
    disk = Sparse(records.MAX_DISK_BYTES)
    line = Line(disk)
    RecordWriter(line.disk).zero(0, disk.size)
    line.disk.flush()
    assert sum(disk.zeroed) == disk.size
    assert line.disk.total.segments == 1024


def test_zeros_among_data_are_counted_in_the_segment_where_their_record_ends() -> None:
    rng = random.Random(11)
    disk = Sparse(256 << 30)
    line = Line(disk)
    log = RecordWriter(line.disk)
    block = memoryview(rng.randbytes(1 << 20))
    for _ in range(600):
        # B refuses a segment that stands for too much.
        log.zero(rng.randrange(128 << 30), rng.randrange(1, 1 << 30))
        log.data(0, block[: rng.randrange(1, len(block))])
    line.disk.flush()
    assert line.disk.total.segments > 150


@pytest.mark.parametrize("lengths", [[(1 << 30) + 1], [1 << 29, 1 << 29, 1]], ids=["one record", "several"])
def test_a_source_that_makes_one_segment_stand_for_more_zeros_is_refused(lengths: list[int]) -> None:
    disk = Sparse(1 << 40)
    line = Line(disk)
    for length in lengths:
        line.disk.write(records.zero_record(0, length))
    with pytest.raises(PeerError) as caught:
        line.disk.flush()
    assert caught.value.code == "more-than-planned"
    assert sum(disk.zeroed) <= 1 << 30


@pytest.mark.parametrize("length", [1 << 20, 1], ids=["whole", "byte by byte"])
def test_a_source_that_has_a_disk_zeroed_again_and_again_is_refused(length: int) -> None:
    """Few bytes are sent for it: the work is what is bounded."""
    disk = Sparse(1 << 20)
    line = Line(disk)
    with pytest.raises(PeerError) as caught:
        for _ in range(100):
            for _ in range(1000):
                line.disk.write(records.zero_record(0, length))
            line.disk.flush()
    assert caught.value.code == "more-than-planned"
    assert len(disk.zeroed) * max(length, 4096) <= records.most_work(disk.size)


def test_what_is_not_flushed_yet_is_little_at_any_time() -> None:
    """The flush before QEMU opens the disks is part of the time in which the guest stands."""
    disk = Sparse(64 << 30)
    line = Line(disk)
    log = RecordWriter(line.disk)
    block = memoryview(b"x" * SEGMENT)
    for number in range(100):
        log.data(number * SEGMENT, block)
    log.zero(0, disk.size)
    line.disk.flush()
    assert disk.most_unflushed <= (256 << 20) + SEGMENT
    log.data(0, block)
    line.disk.flush()
    assert disk.unflushed
    line.arrival.quiet()
    assert not disk.unflushed


def test_an_honest_source_stops_before_that() -> None:
    line = Line(Sparse(1 << 20))
    log = RecordWriter(line.disk)
    with pytest.raises(ServerNotMovable, match="more often than planned") as caught:
        for _ in range(1000):
            log.data(0, memoryview(b"x" * (1 << 20)))
    assert caught.value.code == "not-converging"


def test_disk_data_after_memory_is_refused() -> None:
    line = Line(Disk(1 << 20))
    RecordWriter(line.disk).zero(0, 1 << 20)
    line.disk.flush()
    line.memory.write(b"m")
    line.memory.flush()
    RecordWriter(line.disk).zero(0, 1 << 20)
    with pytest.raises(Conflict, match="after memory"):
        line.disk.flush()


def test_memory_does_not_begin_in_the_middle_of_a_record() -> None:
    line = Line(Disk(1 << 20))
    line.disk.write(b"\x01" + bytes(8) + (100).to_bytes(8, "big") + b"short")
    line.disk.flush()
    line.memory.write(b"m")
    with pytest.raises(MalformedMessage):
        line.memory.flush()
    assert line.landing.asked == []


@pytest.mark.parametrize("offset", [1 << 20, (1 << 20) - 4, 1 << 63])
def test_a_record_beyond_the_disk_is_refused(offset: int) -> None:
    line = Line(Disk(1 << 20))
    line.disk.write(b"\x01" + offset.to_bytes(8, "big") + (8).to_bytes(8, "big") + b"12345678")
    with pytest.raises(MalformedMessage):
        line.disk.flush()


def test_a_stream_without_memory_is_not_complete() -> None:
    line = Line(Disk(1 << 20))
    with pytest.raises(Conflict, match="no memory"):
        line.arrival.finish()


def test_a_larger_disk_than_planned_is_fine_and_a_smaller_is_not() -> None:
    spec = (StreamSpec(1, "disk", 0, SEGMENT, 1 << 20), StreamSpec(2, "memory", 0, SEGMENT, 1))
    Arrival(spec, [Disk(2 << 20)], Landing(), lambda *_: None, lambda _: None)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="disk 0 has"):
        Arrival(spec, [Disk(1 << 19)], Landing(), lambda *_: None, lambda _: None)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="the plan has disks"):
        Arrival(spec, [], Landing(), lambda *_: None, lambda _: None)
