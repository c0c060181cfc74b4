# SPDX-License-Identifier: Apache-2.0
"""An agreement lets so many servers arrive at once: who takes one of the places, and who gets the last one."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sv2m import protocol as p
from sv2m.db import engine as database
from sv2m.db import ledger
from tests.unit.engine.arriving import Azm, Destination
from tests.unit.engine.sender import Sender
from tests.unit.engine.surroundings import SOURCE

#: How long a thread waits for the other; then the test fails.
LONGEST = 60


@pytest.fixture
def one_place(monkeypatch: pytest.MonkeyPatch, destination: Destination) -> Destination:
    answer = {"agreement": "a", "project_id": "project", "migrations": 1}
    monkeypatch.setattr(Azm, "may_accept", lambda *asked: answer)
    # As the server's own start does it: two that write at once then wait for each other.
    database._lock_first(database.current())
    return destination


def decision(sender: Sender) -> p.Accepted | p.Refused:
    sender.run("TokenAB")
    token = sender.side.transcript["TokenBA2"].message
    assert isinstance(token, p.TokenBA2)
    return token.decision


def test_what_is_only_offered_takes_no_place(one_place: Destination) -> None:
    first, second = one_place.source.run("Offer"), one_place.sender()
    assert isinstance(decision(second), p.Accepted)
    late = decision(first)
    assert isinstance(late, p.Refused)
    assert (late.code, late.reason) == ("no-agreement", f"agreement {SOURCE.name}: migrations limit 1, asked 2")


def test_of_two_that_ask_at_once_one_gets_the_last_place(
    one_place: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, allowed = threading.Barrier(2), Azm.may_accept

    def together(*asked: Any) -> dict[str, Any]:
        both.wait(LONGEST)
        return allowed(*asked)

    monkeypatch.setattr(Azm, "may_accept", together)
    senders = [one_place.source.run("Offer"), one_place.sender().run("Offer")]
    decisions: list[p.Accepted | p.Refused] = []
    threads = [threading.Thread(target=lambda one=one: decisions.append(decision(one))) for one in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST)
    assert sorted(type(one).__name__ for one in decisions) == ["Accepted", "Refused"]
    with database.session() as session:
        assert ledger.running(session, SOURCE.name) == 1


def test_a_place_is_free_again_when_its_migration_has_ended(one_place: Destination) -> None:
    assert one_place.run().status == "completed"
    one_place.source = one_place.sender()
    assert isinstance(decision(one_place.source), p.Accepted)
    one_place.post(one_place.source.withdrawal())
    assert one_place.carry_on().status == "aborted"
    one_place.source = one_place.sender()
    assert isinstance(decision(one_place.source), p.Accepted)
    with database.session() as session:
        assert ledger.running(session, SOURCE.name) == 1
        assert ledger.running(session, "somebody") == 0
