# SPDX-License-Identifier: Apache-2.0
"""A folder is the other side's work: it may hold anything, and must not keep the judge from hearing the honest side."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sv2m import errors
from sv2m.evidence import folder as folders
from sv2m.evidence.folder import Folder
from sv2m.evidence.stamps import DIRECTORY
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
        file.truncate(folders.MAX_FILE + 1)


def _large_together(where: Path) -> None:
    for number in range(folders.MAX_ALL // folders.MAX_FILE + 1):
        with (where / f"large-{number}").open("wb") as file:
            file.truncate(folders.MAX_FILE)


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
    assert f'"{theirs}","folder","BAD"' in table
    assert '"proved","runs VM' in table, "the honest side is heard"


def _zip(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return content.getvalue()


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
    "a bomb": _zip(("messages/01-Offer.xml", bytes(folders.MAX_FILE + 1))),
    "bombs": _zip(*((f"x/{n}", bytes(folders.MAX_FILE)) for n in range(folders.MAX_ALL // folders.MAX_FILE + 1))),
    "many files": _zip(*((f"x/{n}", b"") for n in range(folders.MAX_FILES + 1)), method=zipfile.ZIP_STORED),
    "very many files": _zip(*((f"{n}", b"") for n in range(2 * folders.MAX_FILES + 1)), method=zipfile.ZIP_STORED),
    "longer than it says": _with(_zip(("x", b"123456"), method=0), b"\x06\0\0\0\x06\0\0\0", b"\x06\0\0\0\x02\0\0\0"),
    "packed otherwise": _zip(("x", b"x" * 100), method=zipfile.ZIP_LZMA),
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


def test_a_path_that_is_not_there_is_the_callers_mistake(court: Court, tmp_path: Path) -> None:
    with pytest.raises(errors.LocalError) as raised:
        Folder.read(tmp_path / "nowhere")
    assert raised.value.code == "no-evidence"
