# SPDX-License-Identifier: Apache-2.0
"""Hostile bytes on the data channel, and trailers that do not match them, against B's real engine and real agent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sv2m import errors
from sv2m.protocol import Manifest, Sealer, records
from sv2m.protocol.segments import FRAME
from sv2m.transfer import session, wire
from tests.attacks.cloud_b import CloudB
from tests.attacks.host_b import DISK, END, MAGIC, MEMORY, HostB, Line
from tests.protocol import clouds

GUEST = records.data_header(4096, 5) + b"guest"
STATE = MAGIC + b"the guest's memory" * 100 + END
GIVEN_UP = wire.GIVEN_UP


@pytest.fixture
def host(b: CloudB, tmp_path: Path) -> Iterator[HostB]:
    """B with a real agent; the source has come as far as having a landing place."""
    made = HostB(tmp_path, b.keys)
    b.services = dataclasses.replace(b.services, edm=b.recorder.around("edm", made))
    b.source.run("Envelope")
    yield made
    made.stop()


def send(b: CloudB, disk: bytes = GUEST, memory: bytes = STATE) -> Line:
    line = Line(b.source)
    assert line.welcomed
    assert line.put(DISK, 0, disk) == wire.Mark(DISK, 0)
    line.put(MEMORY, 0, memory)
    line.signs()
    return line


def given_up(b: CloudB, host: HostB, **lies: Any) -> errors.SV2MError:
    """A signs a trailer, and B must say no, with nothing left."""
    error = b.refusal(b.source.make("Transfer", **lies))
    row = b.carry_on()
    assert (row.phase, row.status) == ("undone", "failed")
    assert host.placeholder.undone
    assert not host.placeholder.running
    assert b.keys.secrets == {}
    assert not b.nova.servers
    assert not b.storage.volumes
    assert list(host.journal.entries()) == []
    assert "Prepared" not in b.documents
    return error


def test_an_honest_line_arrives(b: CloudB, host: HostB) -> None:
    send(b)
    b.source.run()
    assert b.carry_on().phase == "closed"
    assert host.placeholder.running
    assert bytes(host.placeholder.memory) == STATE
    assert host.placeholder.disk.written == [(4096, b"guest")]


# -- the door -----------------------------------------------------------------------------------------------------


def test_without_a_ticket_with_a_used_and_with_a_foreign_one(b: CloudB, host: HostB) -> None:
    assert not Line(b.source, ticket=bytes(32)).welcomed
    assert not Line(b.source, vmk=bytes(32)).welcomed
    line = Line(b.source)
    assert line.welcomed
    assert not Line(b.source).welcomed
    # The one that was let in is none the worse for it.
    assert line.put(DISK, 0, GUEST) == wire.Mark(DISK, 0)
    line.put(MEMORY, 0, STATE)
    line.signs()
    b.source.run()
    b.carry_on()
    assert host.placeholder.running


# -- segments -----------------------------------------------------------------------------------------------------


def _flipped(line: Line) -> bytes:
    frame = bytearray(line.seal(DISK, 0, GUEST))
    frame[-1] ^= 1
    return bytes(frame)


def _swapped(line: Line) -> bytes:
    """The memory's segment as the disk's."""
    frame = line.seal(MEMORY, 0, STATE)
    return FRAME.pack(DISK, 0, len(frame) - FRAME.size) + frame[FRAME.size :]


def _another_migrations(line: Line) -> bytes:
    return line.seal(DISK, 0, GUEST, Sealer(bytes(32)))


def _ahead(line: Line) -> bytes:
    line.seal(DISK, 0, GUEST)
    return line.seal(DISK, 1, GUEST)


def _not_planned(line: Line) -> bytes:
    return line.seal(9, 0, GUEST, Sealer(clouds.VMK))


def _overlong(line: Line) -> bytes:
    return FRAME.pack(DISK, 0, (64 << 20) + 29)


def _outside_the_disk(line: Line) -> bytes:
    return line.seal(DISK, 0, records.data_header((1 << 30) - 2, 5) + b"guest")


def _no_record(line: Line) -> bytes:
    return line.seal(DISK, 0, b"\x07" * 64)


def _terabytes_of_zeros(line: Line) -> bytes:
    """In a few bytes: an encrypted disk has to write every one of them."""
    return line.seal(DISK, 0, records.zero_record(0, 1 << 30) * 1000)


#: What is not what A sealed may be the network's doing. A segment that opens is A's.
SPOILT = [_flipped, _swapped, _another_migrations, _ahead, _not_planned, _overlong]
BAD = [*SPOILT, _outside_the_disk, _no_record, _terabytes_of_zeros]
#: How often B asks for a segment again.
AGAIN = 3


def _push_again(b: CloudB, first: int, frame: Callable[[Line], bytes]) -> Line:
    """What does not open is asked for again, on a connection of its own each time. :returns: the last one."""
    for connection in range(first, AGAIN + 1):
        line = Line(b.source, connection)
        assert line.welcomed
        with pytest.raises(OSError):
            line.push(frame(line))
    line = Line(b.source, AGAIN + 1)
    assert line.welcomed
    return line


@pytest.mark.parametrize("bad", BAD, ids=lambda make: make.__name__.strip("_"))
def test_a_segment_that_is_not_as_it_should_be(
    b: CloudB, host: HostB, monkeypatch: pytest.MonkeyPatch, bad: Callable[[Line], bytes]
) -> None:
    # A's trailer comes while B still waits for A to hang up, however slow this machine is.
    monkeypatch.setattr(session, "_FAREWELL", 60.0)
    line = _push_again(b, 1 if bad in SPOILT else AGAIN + 1, bad)
    assert line.push(bad(line)).stream == GIVEN_UP
    if bad is _terabytes_of_zeros:
        assert len(host.placeholder.disk.written) * (256 << 20) <= 1 << 30
        host.placeholder.disk.written.clear()
    assert host.placeholder.disk.written == []
    refused = given_up(b, host)
    assert (refused.fault, refused.code) == ("peer", "integrity-error")
    assert "segment 1/0" in str(refused)


def test_a_segment_twice(b: CloudB, host: HostB) -> None:
    line = Line(b.source)
    assert line.welcomed
    frame = line.seal(DISK, 0, GUEST)
    assert line.push(frame) == wire.Mark(DISK, 0)
    with pytest.raises(OSError):
        line.push(frame)
    assert _push_again(b, 2, lambda _: frame).push(frame).stream == GIVEN_UP
    assert host.placeholder.disk.written == [(4096, b"guest")]
    given_up(b, host)


def test_disk_data_after_the_memory(b: CloudB, host: HostB) -> None:
    """QEMU has the disks open by then."""
    line = send(b)
    assert line.put(DISK, 1, GUEST).stream == GIVEN_UP
    line.signs()
    given_up(b, host)


# -- the state of the guest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "memory",
    [b"\x7fELF" + STATE, b"LibvirtQemudSave" + STATE, STATE[: -len(END)], STATE[:3], MAGIC],
    ids=["a program", "a save image", "cut at its end", "cut in its head", "nothing but its head"],
)
def test_a_memory_stream_that_is_not_qemus_or_was_cut(b: CloudB, host: HostB, memory: bytes) -> None:
    """Rightly sealed and signed by A: only QEMU can say that it is none. CVE-2013-4536, CVE-2014-7840."""
    send(b, memory=memory)
    given_up(b, host)


def test_memory_that_was_signed_and_never_came(b: CloudB, host: HostB) -> None:
    line = Line(b.source)
    assert line.welcomed
    line.put(DISK, 0, GUEST)
    line.manifest.add(MEMORY, 0, bytes(32))
    line.sent[MEMORY].append(5)
    line.signs()
    assert given_up(b, host).code == "integrity-error"


def test_a_disk_whose_log_ends_inside_a_record(b: CloudB, host: HostB) -> None:
    line = Line(b.source)
    assert line.welcomed
    assert line.put(DISK, 0, GUEST[:-2]) == wire.Mark(DISK, 0)
    assert line.put(MEMORY, 0, STATE).stream == GIVEN_UP
    line.signs()
    given_up(b, host)


def test_an_image_with_a_backing_file_is_only_what_the_guest_wrote(b: CloudB, host: HostB) -> None:
    """OSSA-2023-002, OSSA-2024-001, OSSA-2024-002: the bytes of a disk are content, never an image to be probed."""
    header = b"QFI\xfb" + bytes(3) + b"\x03" + (104).to_bytes(8, "big") + (11).to_bytes(4, "big")
    content = header.ljust(104, b"\0") + b"/etc/shadow"
    send(b, disk=records.data_header(0, len(content)) + content)
    b.source.run()
    b.carry_on()
    assert host.placeholder.running
    assert host.placeholder.disk.written == [(0, content)]


# -- the trailer --------------------------------------------------------------------------------------------------


def _entries(line: Line, change: Callable[[list[tuple[int, int, bytes]]], None]) -> None:
    entries = list(line.manifest)
    change(entries)
    manifest = Manifest()
    for entry in entries:
        manifest.add(*entry)
    line.manifest = manifest
    line.signs()


def _wrong_digest(entries: list[tuple[int, int, bytes]]) -> None:
    entries[0] = (*entries[0][:2], bytes(32))


def _exchanged(entries: list[tuple[int, int, bytes]]) -> None:
    (s1, i1, one), (s2, i2, two) = entries
    entries[:] = [(s1, i1, two), (s2, i2, one)]


@pytest.mark.parametrize("change", [_wrong_digest, _exchanged], ids=["wrong digest", "digests exchanged"])
def test_a_manifest_of_other_content(b: CloudB, host: HostB, change: Callable[..., None]) -> None:
    _entries(send(b), change)
    assert given_up(b, host).code == "integrity-error"


def test_a_manifest_with_a_segment_missing_or_too_many(b: CloudB, host: HostB) -> None:
    line = send(b)
    line.sent[DISK].append(5)
    line.manifest.add(DISK, 1, bytes(32))
    line.signs()
    assert given_up(b, host).code == "integrity-error"


@pytest.mark.parametrize("change", ["twice", "reordered", "missing", "another stream"])
def test_a_manifest_whose_text_is_changed_before_it_is_signed(b: CloudB, host: HostB, change: str) -> None:
    """A signs what its own code would never write."""
    send(b)
    xml = b.source.manifest.to_xml()
    head, first, second, tail = _references(xml)
    text = {
        "twice": head + first + first + second + tail,
        "reordered": head + second + first + tail,
        "missing": head + second + tail,
        "another stream": (head + first + second + tail).replace(b"2/0", b"3/0"),
    }[change]
    b.source.make("Transfer", **b.source.sealed(manifest=text))
    error = b.refusal(b.source.side.document("Transfer"))
    assert error.fault == "peer"
    assert b.carry_on().phase == "undone"
    assert host.placeholder.undone


def test_totals_that_are_not_what_came(b: CloudB, host: HostB) -> None:
    send(b)
    first, second = b.source.summaries
    b.source.summaries = (dataclasses.replace(first, length=first.length + 1), second)
    assert given_up(b, host).code == "integrity-error"


def test_a_trailer_that_was_signed_for_another_session(b: CloudB, host: HostB) -> None:
    send(b)
    binding = dataclasses.replace(b.source.side.machine.binding(), sid=bytes(48))
    b.source.make("Transfer", **b.source.sealed(binding=binding))
    assert b.refusal(b.source.side.document("Transfer")).code == "integrity-error"
    b.carry_on()
    assert host.placeholder.undone


@pytest.mark.parametrize("sealed", ["what came", "another VM"])
def test_a_trailer_that_is_not_the_one_named(b: CloudB, host: HostB, sealed: str) -> None:
    """A signs two trailers of one session, seals one and names the other: later it would show the one it likes."""
    send(b)
    truth = b.source.sealed()
    other = Manifest()
    for stream, index, _ in b.source.manifest:
        other.add(stream, index, bytes(32))
    lie = b.source.sealed(manifest=other.to_xml())
    inside, named = (truth, lie) if sealed == "what came" else (lie, truth)
    fields = {"trailer_digest": named["trailer_digest"], "sealed_signature": inside["sealed_signature"]}
    error = given_up(b, host, **fields)
    assert error.code == "integrity-error"
    assert "not the one that the Transfer names" in error.message


def test_a_trailer_sealed_under_another_key(b: CloudB, host: HostB) -> None:
    send(b)
    b.source.make("Transfer", sealed_signature=bytes(len(b.source.sealed()["sealed_signature"])))
    assert b.refusal(b.source.side.document("Transfer")).code == "integrity-error"
    b.carry_on()
    assert host.placeholder.undone


def _references(xml: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    start, end = xml.index(b"<ds:Reference"), xml.rindex(b"</ds:Reference>") + len(b"</ds:Reference>")
    middle = xml.index(b"<ds:Reference", start + 1)
    return xml[:start], xml[start:middle], xml[middle:end], xml[end:]
