# SPDX-License-Identifier: Apache-2.0
"""The log of a disk: written in any pieces, it replays to the same disk, and never beyond it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sv2m import errors
from sv2m.protocol import records

SIZE = 4096

writes = st.lists(
    st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE), st.binary(min_size=1, max_size=1)), max_size=20
).map(lambda items: [(offset, min(length, SIZE - offset), fill) for offset, length, fill in items])


def log_of(items: list[tuple[int, int, bytes]]) -> bytes:
    return b"".join(
        records.zero_record(offset, length)
        if fill == b"\0"
        else records.data_header(offset, length) + fill * length
        for offset, length, fill in items
    )


def replay(log: bytes, cuts: list[int]) -> bytes:
    disk = bytearray(b"\xee" * SIZE)
    reader = records.RecordReader(SIZE)
    for start, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        for record in reader.feed(memoryview(log)[start:end]):
            if isinstance(record, records.Data):
                disk[record.offset : record.offset + len(record.content)] = record.content
            else:
                disk[record.offset : record.offset + record.length] = bytes(record.length)
    reader.finish()
    return bytes(disk)


@given(writes, st.lists(st.integers(0, 1 << 20), max_size=30))
def test_any_log_in_any_pieces(items: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    expected = bytearray(b"\xee" * SIZE)
    for offset, length, fill in items:
        expected[offset : offset + length] = fill * length
    log = log_of(items)
    assert replay(log, sorted(cut % (len(log) + 1) for cut in cuts)) == bytes(expected)


@given(st.binary(max_size=200))
def test_any_bytes_stay_inside_the_disk(log: bytes) -> None:
    reader = records.RecordReader(SIZE)
    try:
        for record in reader.feed(log):
            length = len(record.content) if isinstance(record, records.Data) else record.length
            assert record.offset >= 0 and length > 0 and record.offset + length <= SIZE
        reader.finish()
    except errors.MalformedMessage:
        return


@pytest.mark.parametrize(
    ("kind", "offset", "length"),
    [
        (1, SIZE, 1),
        (1, 0, SIZE + 1),
        (2, SIZE - 1, 2),
        (2, (1 << 64) - 1, 2),
        (1, 1, (1 << 64) - 1),
        (1, 0, 0),
        (2, 0, 0),
        (0, 0, 1),
        (3, 0, 1),
        (255, 0, 1),
    ],
)
def test_a_record_that_no_disk_has(kind: int, offset: int, length: int) -> None:
    reader = records.RecordReader(SIZE)
    with pytest.raises(errors.MalformedMessage):
        list(reader.feed(records.HEADER.pack(kind, offset, length)))


@pytest.mark.parametrize("cut", [1, 16, 17, 18, 26])
def test_a_log_cut_inside_a_record(cut: int) -> None:
    log = log_of([(0, 10, b"a")])
    reader = records.RecordReader(SIZE)
    list(reader.feed(log[:cut]))
    with pytest.raises(errors.MalformedMessage):
        reader.finish()


def test_content_is_not_copied() -> None:
    log = bytearray(log_of([(0, 10, b"a")]))
    (data,) = records.RecordReader(SIZE).feed(log)
    log[-1:] = b"b"
    assert bytes(data.content) == b"aaaaaaaaab"


def test_the_writer_keeps_to_the_bounds_of_any_disk() -> None:
    for offset, length in ((-1, 1), (0, 0), (1 << 46, 1), ((1 << 46) - 1, 2)):
        with pytest.raises(errors.LocalError):
            records.data_header(offset, length)
