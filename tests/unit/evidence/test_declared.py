# SPDX-License-Identifier: Apache-2.0
"""What people have decided where nobody else could sign it, and what their cloud then answers for in court."""

from __future__ import annotations

import pytest

from sv2m import protocol as p
from sv2m.evidence import judge
from sv2m.evidence.folder import Folder, declaration_file
from tests.protocol.clouds import NOW, Pair, Side, other_id
from tests.unit.evidence.court import Court

A, B = "cloud-a.sv2m", "cloud-b.sv2m"


def lost(court: Court) -> Pair:
    """B's host is lost when the Release is there, and B's people say so; A takes its VM back by B's Receipt."""
    pair = court.pair().run("hear release")
    pair.b.local(p.DeclaredLost(NOW))
    pair.b.declare("lost")
    pair.a.receive(pair.b.document("Receipt"))
    pair.a.local(p.Undone(NOW))
    pair.b.local(p.Undone(NOW))
    return pair


def running(court: Court) -> Pair:
    pair = court.pair().run("hear release")
    pair.b.local(p.DeclaredRunning(NOW))
    pair.b.declare("running")
    return pair


def taken_back(court: Court, until: str = "commit") -> Pair:
    """B is silent for ever, and A's people take the VM back."""
    pair = court.pair().run(until)
    pair.a.local(p.TakenBack())
    pair.a.declare("taken-back")
    pair.a.local(p.Undone(NOW))
    return pair


def let_go(court: Court) -> Pair:
    pair = court.pair().run("commit")
    pair.a.local(p.LetGo())
    pair.a.declare("let-go")
    pair.a.local(p.Relinquished())
    return pair


def with_file(folder: Folder, kind: str, document: bytes) -> Folder:
    return Folder(folder.name, {**folder.files, declaration_file(kind): document})


def texts(judged: object, code: str) -> list[str]:
    return [fact.text for fact in judge.facts(judged.cases) if fact.code == code]  # type: ignore[attr-defined]


def test_b_answers_for_what_its_people_declared_lost(court: Court) -> None:
    pair = lost(court)
    judged = court.hears(court.keeps(pair.a), court.keeps(pair.b))
    assert (judged.off, judged.convicted, judged.owing) == ([], [], [])
    assert judged.proves(B, "declared-lost") and judged.proves(B, "refused")
    (said,) = texts(judged, "declared-lost")
    assert "never ran there" in said and f"{B} answers for that" in said and "b7 was scrapped" in said


def test_a_alone_shows_that_bs_people_decided(court: Court) -> None:
    """The Declaration stays at B; the Receipt, which A has, says what it is by."""
    judged = court.hears(court.keeps(lost(court).a))
    (said,) = texts(judged, "refused")
    assert judged.off == [] and f"its people have declared that, and {B} answers for it" in said


def test_b_answers_for_what_its_people_declared_running(court: Court) -> None:
    judged = court.hears(court.keeps(running(court).b))
    assert (judged.off, judged.convicted) == ([], [])
    assert judged.proves(B, "declared-running") and judged.proves(B, "runs")


def test_a_answers_for_what_its_people_took_back_and_b_owes_nothing_any_more(court: Court) -> None:
    pair = taken_back(court)
    judged = court.hears(court.keeps(pair.a))
    assert (judged.off, judged.convicted, judged.owing) == ([], [], [])
    assert judged.proves(A, "took-back") and judged.proves(A, "released")


def test_two_copies_are_as_to_answer_for(court: Court) -> None:
    """A's people took back what B was running: both sides' folders are whole, and say whose deed the second copy is."""
    pair = taken_back(court, "resume")
    pair.b.receive(pair.a.document("Closure"))
    judged = court.hears(court.keeps(pair.a), court.keeps(pair.b))
    assert (judged.off, judged.convicted) == ([], [])
    assert judged.owing == [A]
    (fact,) = judge.owing(judged.cases)
    assert fact.code == "two-copies"
    assert court.hears(court.keeps(pair.b)).owing == [A], "B's folder alone has A's Closure"


def test_what_was_taken_back_may_be_offered_again(court: Court) -> None:
    pair = taken_back(court)
    again = court.pair(migration_id=other_id(), generation=2).run("offer")
    judged = court.hears(court.keeps(pair.a), court.keeps(again.a))
    assert (judged.convicted, judged.owing) == ([], [])


def test_what_was_let_go_may_not(court: Court) -> None:
    pair = let_go(court)
    alone = court.hears(court.keeps(pair.a))
    assert (alone.off, alone.owing, alone.convicted) == ([], [B], []) and alone.proves(A, "let-go")
    again = court.pair(migration_id=other_id(), generation=2).run("offer")
    judged = court.hears(court.keeps(pair.a), court.keeps(again.a))
    assert judged.convicted == [(A, "held-on")]


def test_an_accepted_key_is_the_loss_of_who_accepted_it(court: Court) -> None:
    pair = court.pair().run()
    pair.a.declare("accept-key")
    judged = court.hears(court.keeps(pair.a))
    (said,) = texts(judged, "accepted-key")
    assert judged.off == [] and f"{A}'s own loss" in said


@pytest.mark.parametrize("kind", ["lost", "running"])
def test_b_declared_one_thing_and_signed_a_receipt_of_the_other(court: Court, kind: str) -> None:
    pair = court.pair().run("hear release")
    pair.b.declare(kind)
    pair.b.local(p.Resumed(NOW) if kind == "lost" else p.CannotResume("host-died", NOW))
    judged = court.hears(court.keeps(pair.b))
    assert judged.off == [] and judged.convicted == [(B, "two-faced")]


def test_nobody_else_can_declare_it(court: Court) -> None:
    """Forged: signed with another key, in B's name; or not signed at all; or changed."""
    pair = lost(court)
    true = pair.b.declared["lost"]
    thief = Side("destination", court.enrol(B), court.a)
    thief.machine, thief.transcript = pair.b.machine, pair.b.transcript
    unsigned = p.encode(p.decode_declaration(true))
    pair.b.declared["lost"] = thief.declare("lost")
    judged = court.hears(court.keeps(pair.b))
    # Also where the log tells of it, as of one that was made here.
    assert any(declaration_file("lost") in one for one in judged.off) and judged.proved == []
    for forged in (pair.b.declared["lost"], unsigned, true.replace(b"b7", b"b8"), b"<x/>", b""):
        judged = court.hears(with_file(court.keeps(pair.b), "lost", forged))
        assert any(declaration_file("lost") in one for one in judged.off), forged[:60]
        assert judged.proved == [], "nothing of a folder in which something is off is heard"


@pytest.mark.parametrize("kind", ["taken-back", "let-go"])
def test_b_cannot_declare_what_is_as(court: Court, kind: str) -> None:
    pair = lost(court)
    document = pair.b.declare(kind)
    del pair.b.declared[kind]
    judged = court.hears(with_file(court.keeps(pair.b), kind, document))
    assert any("cannot have declared" in one for one in judged.off)


def test_a_declaration_under_the_name_of_another_is_none(court: Court) -> None:
    pair = lost(court)
    document = pair.b.declared.pop("lost")
    judged = court.hears(with_file(court.keeps(pair.b), "running", document))
    assert any("cannot have declared" in one for one in judged.off)


@pytest.mark.parametrize(
    "wrong",
    [{"migration_id": other_id()}, {"sid": bytes(48)}, {"release_digest": b"r" * 48}, {"receipt_digest": b"r" * 48}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_declaration_about_something_else_is_none(court: Court, wrong: dict[str, object]) -> None:
    pair = lost(court)
    pair.b.declare("lost", **wrong)
    judged = court.hears(court.keeps(pair.b))
    assert any(declaration_file("lost") in one for one in judged.off)


def test_a_declaration_that_was_taken_out_is_missed(court: Court) -> None:
    """The log tells of it."""
    folder = court.keeps(lost(court).b)
    left = {name: data for name, data in folder.files.items() if name != declaration_file("lost")}
    judged = court.hears(Folder(folder.name, left))
    assert any("declaration-lost" in one for one in judged.off)
