# SPDX-License-Identifier: Apache-2.0
"""A folder is the other side's work: it may hold anything, and must not keep the judge from hearing the honest side."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.evidence import folder as folders
from sv2m.evidence import zipped
from sv2m.evidence.folder import Folder
from sv2m.evidence.stamps import DIRECTORY
from sv2m.protocol import messages, plan
from tests.protocol import clouds
from tests.unit.evidence.court import Court
from tests.unit.evidence.test_by_hand import verify
from tests.unit.evidence.test_judge import B, replaced

SUMMARY = "summary.json"


@pytest.fixture(scope="module")
def honest(court: Court) -> Folder:
    return court.keeps(court.pair().run().a)


@pytest.fixture(scope="module")
def other(court: Court) -> Folder:
    return court.keeps(court.pair().run().b)


SUMMARIES = {
    "documents is a number": b'{"documents": 5}',
    "documents are words": b'{"documents": ["a"]}',
    "a document without its digest": b'{"documents": [{"kind": "Offer", "at": "2026-01-01T00:00:00+00:00"}]}',
    "a kind that is a list": b'{"documents": [{"kind": [], "at": "", "sha384": ""}]}',
    "no object": b"[]",
    "not JSON": b"\xff{",
    "nested without end": b"[" * 100_000,
    "a number without end": b"1" * 100_000,
    "before the calendar": b'{"documents": [{"kind": "Offer", "at": "0001-01-01T00:00:00+14:00", "sha384": ""}]}',
    "after the calendar": b'{"documents": [{"kind": "Offer", "at": "9999-12-31T23:59:59-14:00", "sha384": ""}]}',
    "no time": b'{"documents": [{"kind": "Offer", "at": "yesterday", "sha384": ""}]}',
    "larger than any": b'{"x": "' + b"x" * (2 << 20) + b'"}',
}


@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "without timestamps"])
@pytest.mark.parametrize("said", SUMMARIES.values(), ids=SUMMARIES)
def test_a_summary_that_is_none(court: Court, honest: Folder, other: Folder, said: bytes, stamped: bool) -> None:
    bare = {} if stamped else {name: None for name in other.files if name.startswith(DIRECTORY)}
    judged = court.hears(honest, replaced(other, {SUMMARY: said, **bare}))
    assert any(off.startswith(SUMMARY) and "fault of whoever made or changed" in off for off in judged.off)
    assert judged.proves(B, "runs"), "the honest side is heard"


def test_a_time_without_a_zone_is_not_the_judges_machines(court: Court, other: Folder) -> None:
    said = json.loads(other.files[SUMMARY])
    for document in said["documents"]:
        document["at"] = "0001-01-01T00:00:00"
    bare: dict[str, bytes | None] = {name: None for name in other.files if name.startswith(DIRECTORY)}
    judged = court.hears(replaced(other, {SUMMARY: json.dumps(said).encode(), **bare}))
    assert any("begins on" in off for off in judged.off), judged.off


def _chained(migration_id: str, *events: dict[str, object]) -> bytes:
    lines, before = [], "00" * 48
    for number, event in enumerate(events, start=1):
        whole = {"number": number, "previous": before, "subject": migration_id, **event}
        lines.append(json.dumps(whole, sort_keys=True, separators=(",", ":")) + "\n")
        before = hashlib.sha384(lines[-1].encode()).hexdigest()
    return "".join(lines).encode()


_BEGIN = {"action": "created"}
LOGS: dict[str, Callable[[str], bytes]] = {
    "a document without a kind": lambda id: _chained(id, _BEGIN, {"action": "document", "sha384": "0"}),
    "a kind that is a list": lambda id: _chained(id, _BEGIN, {"action": "document", "kind": [], "sha384": "0"}),
    "an action that is a number": lambda id: _chained(id, _BEGIN, {"action": 7}),
    "no action": lambda id: _chained(id, _BEGIN, {}),
    "a number beyond all": lambda id: _chained(id, {"action": "purged", "number": int("9" * 4300)}, _BEGIN),
    "a number that is true": lambda id: _chained(id, {**_BEGIN, "number": True}),
    "a list": lambda id: b"[]\n",
    "a number": lambda id: b"5\n",
    "nested without end": lambda id: b"[" * 100_000 + b"\n",
    "nested as far as it is read": lambda id: b"[" * 900 + b"]" * 900 + b"\n",
    "a line without end": lambda id: b'{"x":"' + b"x" * (1 << 20) + b'"}\n',
    "no text": lambda id: b"\xff\xfe\n\x00\n",
}


@pytest.mark.parametrize("log", LOGS.values(), ids=LOGS)
def test_an_audit_log_that_is_none(court: Court, honest: Folder, other: Folder, log: Callable[[str], bytes]) -> None:
    (name,) = [one for one in other.files if one.startswith("audit/")]
    migration_id = json.loads(other.files[SUMMARY])["migration_id"]
    judged = court.hears(honest, replaced(other, {name: log(migration_id)}))
    assert any(off.startswith("audit: line ") for off in judged.off)
    assert judged.proves(B, "runs")


def test_what_a_folder_says_cannot_draw_on_the_terminal(court: Court, other: Folder) -> None:
    listing = f"{'0' * 128} *\x1b[2Jgood\r\n".encode()
    judged = court.hears(replaced(other, {f"{DIRECTORY}archive-1.sha512": listing, f"{DIRECTORY}archive-1.tsr": b""}))
    assert judged.off
    assert all(one.text.isprintable() and len(one.text) < 600 for case in judged.cases for one in case.report.findings)


def _save(folder: Folder, where: Path) -> Path:
    for name, data in folder.files.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(data)
    return where


def _link(where: Path) -> None:
    (where / "README.txt").unlink()
    (where / "README.txt").symlink_to("/dev/zero")


def _fifo(where: Path) -> None:
    os.mkfifo(where / "messages" / "12-Fifo.xml")


def _many(where: Path) -> None:
    for number in range(folders.MAX_FILES + 1):
        (where / f"{number}").touch()


def _large(where: Path) -> None:
    with (where / "large").open("wb") as file:
        file.truncate(folders.MAX_OTHER + 1)


def _large_together(where: Path) -> None:
    for number in range(folders.MAX_ALL // folders.MAX_OTHER + 1):
        with (where / f"large-{number}").open("wb") as file:
            file.truncate(folders.MAX_OTHER)


def _deep(where: Path) -> None:
    (where / "a/b/c/d/e/f").mkdir(parents=True)
    (where / "a/b/c/d/e/f/file").touch()


def _drawing(where: Path) -> None:
    (where / "\x1b[2Jgood").touch()


@pytest.mark.parametrize("spoil", [_link, _fifo, _many, _large, _large_together, _deep, _drawing])
def test_what_no_evidence_folder_holds(
    court: Court, honest: Folder, other: Folder, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    mine, theirs = _save(honest, tmp_path / "mine"), _save(other, tmp_path / "theirs")
    spoil(theirs)
    with pytest.raises(errors.PeerError) as raised:
        Folder.read(theirs)
    assert (raised.value.code, raised.value.fault) == ("bad-evidence", "peer")
    status, table = verify(mine, str(theirs), "--ca", str(court.authority.anchor))
    assert status == 1
    assert '"folder 2","folder","BAD"' in table
    assert '"proved","runs VM' in table, "the honest side is heard"


AT = datetime(2026, 3, 1, tzinfo=UTC)


def _zip(*entries: tuple[str, bytes]) -> bytes:
    return zipped.pack(dict(entries), AT)


def _otherwise(change: Callable[[zipfile.ZipInfo], object], name: str = "summary.json") -> bytes:
    """As Python's own module writes it, which is as evidence is saved but for what is changed."""
    content = io.BytesIO()
    entry = zipfile.ZipInfo(name)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
    change(entry)
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(entry, b"{}" * 100)
    return content.getvalue()


def _set(**values: object) -> Callable[[zipfile.ZipInfo], object]:
    return lambda entry: [setattr(entry, name, value) for name, value in values.items()]


def _unicode_path(name: str, of: str = "summary.json") -> bytes:
    """The extra field 0x7075, which unzip takes for the name."""
    return struct.pack("<HHBI", 0x7075, 5 + len(name), 1, zlib.crc32(of.encode())) + name.encode()


def _with(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


ZIPS = {
    "nothing": b"",
    "no zip file": b"PK" * 100,
    "a way out": _zip(("../../etc/passwd", b"x")),
    "a way out in the middle": _zip(("messages/../../x", b"x")),
    "from the root": _zip(("/etc/passwd", b"x")),
    "a drive": _zip(("C:x", b"x")),
    "a line end": _zip(("a\nb", b"x")),
    "twice the same": _with(_zip(("summary.json", b"{}"), ("summary.jsoN", b"[]")), b"summary.jsoN", b"summary.json"),
    "a bomb": _zip(("messages/01-Offer.xml", bytes(folders.most("messages/01-Offer.xml") + 1))),
    "bombs": _zip(*((f"x/{n}", bytes(folders.MAX_OTHER)) for n in range(folders.MAX_ALL // folders.MAX_OTHER + 1))),
    "many files": _zip(*((f"x/{n}", b"") for n in range(folders.MAX_FILES + 1))),
    "more files than a number has": _with(_zip(("x", b"x")), b"\x01\0\x01\0", b"\xff\xff\xff\xff"),
    "longer than it says": _with(_zip(("x", b"1" * 99)), b"c\0\0\0\x01\0", b"b\0\0\0\x01\0"),
    "packed otherwise": _otherwise(_set(compress_type=zipfile.ZIP_LZMA)),
    "not packed": _otherwise(_set(compress_type=zipfile.ZIP_STORED)),
    "another name for unzip": _otherwise(_set(extra=_unicode_path("manifest.xml"))),
    "a link": _otherwise(_set(external_attr=0o120777 << 16)),
    "a device": _otherwise(_set(external_attr=0o020666 << 16)),
    "a FIFO": _otherwise(_set(external_attr=0o010666 << 16)),
    "from another system": _otherwise(_set(create_system=0)),
    "a comment at a file": _otherwise(_set(comment=b"x")),
    "a directory that leads out": _otherwise(_set(external_attr=0o040755 << 16), "../../x/"),
    "a directory that draws": _otherwise(_set(), "\x1b[2J/"),
    "something before it": b"#!/bin/sh\n" + _zip(("x", b"x")),
    "something between": _with(_zip(("x", b"x"), ("y", b"y")), b"PK\x01\x02", b"between PK\x01\x02"),
    "a wrong checksum": _with(_zip(("x", b"x")), struct.pack("<L", zlib.crc32(b"x")), struct.pack("<L", 7)),
    "another name behind the directory's": _zip(("summary.json", b"{}")).replace(b"summary", b"Summary", 1),
    "fewer than there are": _with(_zip(("x", b"x"), ("y", b"y")), b"\x02\0\x02\0", b"\x01\0\x01\0"),
    "more than there are": _with(_zip(("x", b"x"), ("y", b"y")), b"\x02\0\x02\0", b"\x03\0\x03\0"),
    "with a comment": _zip(("x", b"x"))[:-2] + b"\x04\0PK\x05\x06",
    "cut": _zip(("x", b"x" * 100))[10:],
}


@pytest.mark.parametrize("content", ZIPS.values(), ids=ZIPS)
def test_a_zip_file_that_no_cloud_has_saved(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "evidence.zip"
    path.write_bytes(content)
    with pytest.raises(errors.PeerError) as raised:
        Folder.read(path)
    assert raised.value.code == "bad-evidence"
    assert list(tmp_path.iterdir()) == [path]


def test_python_and_unzip_read_what_is_saved(honest: Folder, tmp_path: Path) -> None:
    content = zipped.pack(honest.files, AT)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == honest.files
    (tmp_path / "evidence.zip").write_bytes(content)
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-q", "evidence.zip", "-d", "out"], cwd=tmp_path, check=True)
        assert Folder.read(tmp_path / "out").files == honest.files
    assert Folder.read(tmp_path / "evidence.zip").files == honest.files


def test_python_writes_the_same_form() -> None:
    """So that each of the zip files above is refused for the one thing that is changed in it."""
    assert set(Folder.unpack("", _otherwise(_set())).files) == {"summary.json"}


def test_a_log_of_millions_of_lines_costs_no_more_than_it_is_long(court: Court, other: Folder) -> None:
    logs: dict[str, bytes | None] = dict.fromkeys(other.logs)
    logs |= {f"audit/{n}-{n}.jsonl": b"\xff\n" * (folders.MAX_LOG // 2) for n in range(8)}
    bomb = replaced(other, logs)
    tracemalloc.start()
    judged = court.hears(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert any(off.startswith("audit: line 1: ") for off in judged.off)
    assert most < 24 << 20


def test_the_largest_transfer_is_heard(tmp_path: Path) -> None:
    """As many segments as the protocol has, saved by a cloud, and verified from its zip file."""
    few, many, size = 1, plan.MAX_SEGMENTS - 1, clouds.PLAN[0].segment_size
    sealed = p.Manifest()
    for stream, count in ((1, few), (2, many)):
        for index in range(count):
            sealed.add(stream, index, bytes(32))
    streams = (p.StreamPlan(1, "memory", 0, size), p.StreamPlan(2, "disk", 0, size))
    summaries = (p.StreamSummary(1, few, 9), p.StreamSummary(2, many, many * size))
    court = Court(tmp_path)
    with (
        mock.patch.multiple(clouds, PLAN=streams, SUMMARIES=summaries, manifest=lambda: sealed),
    ):
        content = court.saved(court.pair().run("hear closure").a)
    folder = Folder.unpack("largest", content)
    assert len(folder.messages["Transfer"]) > p.MAX_DOCUMENT * 9 // 10
    judged = court.hears(folder)
    assert judged.off == []
    assert judged.proves(B, "runs")


def test_every_file_may_be_as_large_as_the_protocol_has_it() -> None:
    largest = [*map(folders.message_file, p.KINDS), folders.MANIFEST, folders.LISTS]
    assert folders.most(folders.message_file("Transfer")) >= p.MAX_DOCUMENT
    assert folders.most(folders.MANIFEST) >= messages.MAX_SEALED_SIGNATURE
    assert sum(map(folders.most, largest)) <= folders.MAX_ALL


def test_a_path_that_is_not_there_is_the_callers_mistake(court: Court, tmp_path: Path) -> None:
    with pytest.raises(errors.LocalError) as raised:
        Folder.read(tmp_path / "nowhere")
    assert raised.value.code == "no-evidence"
