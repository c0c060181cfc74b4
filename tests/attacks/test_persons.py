# SPDX-License-Identifier: Apache-2.0
"""People who decide where nobody else can sign, and whoever would have them decide wrongly, or speak in their name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.gateway.client import Answer
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import CloudB
from tests.attacks.federation import A, C, identity
from tests.unit.engine import persons
from tests.unit.engine.sender import Sender


def taken_back(source: Sender) -> bytes:
    """A's signed word that its people took the server back, when B has signed that it holds it."""
    side, now = source.side, datetime.now(UTC)
    side.local(p.Committed(now))
    side.local(p.TakenBack())
    side.local(p.Undone(now))
    return side.document("Closure")


def test_a_person_takes_a_server_back_that_runs_at_b(a: CloudA) -> None:
    """B runs it, and hides that until A's own copy runs: A's evidence has both words, and A's people are told."""
    persons.silent(a, "taken-back")
    assert a.run().phase == "reporting" and a.runs_here
    a.peer.side.receive(a.kept("Release") or b"")
    a.peer._release()
    receipt = a.peer.side.document("Receipt")
    a.peer.send = lambda url, ca, document: Answer(True, receipt)  # type: ignore[method-assign]
    row = persons.later(a)
    assert (row.phase, row.error_code) == ("reclaimed", "two-copies")
    assert a.kept("Receipt") == receipt and a.kept("declaration-taken-back")
    assert a.runs_here and a.nova.paused == 1


def test_b_answers_a_taking_back_with_a_forged_receipt(a: CloudA) -> None:
    """It would have A's people believe that there are two copies."""
    persons.silent(a, "taken-back")
    a.run()
    a.opposite(identity(C))
    a.peer.send = lambda url, ca, document: Answer(True, b"<sv2m:Receipt/>")  # type: ignore[method-assign]
    row = persons.later(a)
    assert (row.phase, row.error_code) == ("reclaimed", "taken-back") and a.kept("Receipt") is None


def test_a_release_that_comes_after_a_was_taken_back(b: CloudB) -> None:
    """Somebody has held back the Release, and plays it when A runs its copy again: B refuses it, and runs nothing."""
    b.source.run("Transfer")
    closure = taken_back(b.source)
    b.post(closure)
    b.carry_on()
    receipt = p.decode(b.post(b.source.side.document("Release")) or b"")
    assert isinstance(receipt, p.Receipt) and receipt.outcome == "refused"
    assert b.phase == "undone" and b.untouched
    assert b.post(closure) is not None, "the same word again: the Receipt that there is now"


def test_a_stranger_says_that_a_took_its_server_back(b: CloudB) -> None:
    """It would have B undo what A has released."""
    b.source.run("Transfer")
    true = taken_back(b.source)
    message = p.decode(true)
    other = identity(C)
    forged = p.sign(p.encode(message), other.key, other.chain)
    for document in (forged, true.replace(b"taken-back", b"withdrawn!"), p.encode(message)):
        with pytest.raises(errors.SV2MError):
            b.post(document)
        assert b.phase == "prepared"
    assert p.decode(b.post(b.source.side.document("Release")) or b"").outcome == "resumed"  # type: ignore[union-attr]
    assert b.runs


def test_a_taking_back_of_another_migration_is_none(b: CloudB) -> None:
    """A recording of another migration of the same server, under this one's id or its own."""
    other = b.sender(vm=b.source.offer.needs.vm, generation=2)
    b.source.run("Transfer")
    other.run("Transfer")
    elsewhere = p.decode(taken_back(other))
    assert isinstance(elsewhere, p.Closure)
    mine = p.Closure(b.source.id, elsewhere.sid, "taken-back", p.NOTHING, elsewhere.at)
    signed = p.sign(p.encode(mine), identity(A).key, identity(A).chain)
    assert isinstance(b.refusal(signed), errors.ReplayedMessage)
    assert b.phase == "prepared"


def test_what_a_person_declared_is_no_message(b: CloudB) -> None:
    """A Declaration proves something in court. Posted to the other cloud, or to its own, it moves nothing."""
    b.source.run("Release")
    phase = b.phase
    for kind in ("taken-back", "let-go", "accept-key"):
        with pytest.raises(errors.UnexpectedMessage):
            b.post(b.source.side.declare(kind))
    assert b.phase == phase


def test_b_that_runs_it_is_told_that_it_was_taken_back_and_goes_on(b: CloudB) -> None:
    b.source.run("Transfer")
    closure = taken_back(b.source)
    receipt = b.post(b.source.side.document("Release"))
    b.carry_on()
    assert b.post(closure) == receipt
    row = b.carry_on()
    assert (row.phase, row.status, row.error_code) == ("closed", "completed", "two-copies") and b.runs
