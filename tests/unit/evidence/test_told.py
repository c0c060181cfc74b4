# SPDX-License-Identifier: Apache-2.0
"""What a folder's own log tells of, and whose log it is: a file that is missing, or another cloud's log, is missed."""

from __future__ import annotations

import json

import pytest

from sv2m.evidence import blocks
from sv2m.evidence.folder import Folder
from tests.protocol.clouds import other_id
from tests.unit.evidence.court import Court, relogged
from tests.unit.evidence.test_judge import replaced
from tests.unit.evidence.test_lists import notes


@pytest.fixture(scope="module")
def a(court: Court) -> Folder:
    return court.keeps(court.pair().run().a)


@pytest.fixture(scope="module")
def b(court: Court) -> Folder:
    return court.keeps(court.pair().run().b)


def off(court: Court, folder: Folder) -> list[str]:
    return [text for text in court.hears(folder).off if text.startswith("audit")]


def logs(folder: Folder) -> dict[str, bytes | None]:
    return {name: data for name, data in folder.files.items() if name.startswith(("audit/", "timestamps/audit-"))}


def without_logs(folder: Folder) -> Folder:
    return replaced(folder, dict.fromkeys(logs(folder)))


def test_an_honest_log_tells_of_all_that_is_there(court: Court, a: Folder, b: Folder) -> None:
    assert court.hears(a).off == court.hears(b).off == []
    assert court.hears(relogged(a)).off == []


@pytest.mark.parametrize(
    ("name", "kind"), [("certificates/crl.pem", "crl"), ("manifest.xml", "manifest"), ("certificates/ca.pem", "ca")]
)
def test_what_the_log_tells_of_is_missed(court: Court, a: Folder, name: str, kind: str) -> None:
    assert off(court, replaced(a, {name: None})) == [f"audit: it tells of a {kind} that is not in the folder"]


def test_a_list_that_was_changed_is_not_the_one_of_the_log(court: Court, a: Folder) -> None:
    """In the name of its issuer: nobody here bears the new one, and the list would say nothing to anybody."""
    name = "certificates/crl.pem"
    (der,) = blocks.decode(a.files[name], blocks.CRL)
    changed = blocks.encode([der.replace(b"trusted third", b"trusted thirD")], blocks.CRL)
    assert off(court, replaced(a, {name: changed})) == [f"audit: it does not tell of this {name}"]


def test_a_list_of_somebody_unknown_is_noted(court: Court, a: Folder) -> None:
    """Honest clouds keep the lists of all their agreements' CAs; whether it is theirs, a log says."""
    name = "certificates/crl.pem"
    (der,) = blocks.decode(a.files[name], blocks.CRL)
    changed = blocks.encode([der.replace(b"trusted third", b"trusted thirD")], blocks.CRL)
    judged = court.hears(without_logs(replaced(a, {name: changed})))
    assert any("nobody whom the roots or the messages name" in text for text in notes(judged))


def test_the_other_sides_log_is_not_this_sides(court: Court, a: Folder, b: Folder) -> None:
    swapped = replaced(without_logs(b), logs(a))
    assert any("it is not the destination's" in text for text in off(court, swapped))


def test_a_log_of_a_migration_with_somebody_else(court: Court, a: Folder) -> None:
    """The first event says who the peer is."""
    (name,) = a.logs
    told = a.files[name].replace(b'"peer":"cloud-b.sv2m"', b'"peer":"cloud-c.sv2m"')
    assert any(
        "log of a migration with cloud-b.sv2m" in text for text in off(court, relogged(replaced(a, {name: told})))
    )


def test_another_migrations_log(court: Court, a: Folder) -> None:
    other = court.keeps(court.pair(migration_id=other_id()).run().a)
    assert any("of another log" in text for text in off(court, replaced(without_logs(a), logs(other))))


def test_a_log_that_begins_later_says_so(court: Court, a: Folder) -> None:
    """It tells of none of the messages: which it does not tell of is noted, and the log vouches for nothing."""
    events = [json.loads(line) for line in a.audit_lines()]
    begin = {"action": "adopted", "at": events[0]["at"], "number": 1, "previous": "00" * 48}
    line = json.dumps({**begin, "subject": events[0]["subject"]}, sort_keys=True, separators=(",", ":")) + "\n"
    judged = court.hears(replaced(without_logs(a), {"audit/000001-000001.jsonl": line.encode()}))
    assert judged.off == []
    (text,) = [text for text in notes(judged) if "begins later" in text]
    assert "Receipt" in text
    assert "manifest" in text


@pytest.mark.parametrize("name", ["audit/note.jsonl", "audit/000001.jsonl", "audit/a", "audit/1-1.jsonl.xml"])
def test_nothing_else_is_beside_the_log(court: Court, a: Folder, name: str) -> None:
    assert any(text.startswith(f"{name}: ") for text in court.hears(replaced(a, {name: b"{}\n"})).off)


def test_the_last_event_ends_as_a_line_does(court: Court, a: Folder) -> None:
    (name,) = a.logs
    assert any("does not end with an event" in text for text in off(court, replaced(a, {name: a.files[name][:-1]})))
