# SPDX-License-Identifier: Apache-2.0
"""Who queues for a place, who never does, and that what only queues is nobody's."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest

from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.engine import conductor, flow
from sv2m.engine.places import Places
from sv2m.engine.recovery import Heartbeat, Recovery
from sv2m.engine.worker import Workers
from sv2m.protocol import states
from tests.simulated.crowd import THERE, TRICKLER, Crowd
from tests.unit.engine import surroundings

PHASES = [(role, phase) for role, table in states.TABLES.items() for phase in table]


class Hanging:
    """Policy that takes its time."""

    def __init__(self, honest: Any) -> None:
        self._honest = honest
        self.asked, self.over = threading.Semaphore(0), threading.Event()

    def may_start(self, *args: Any) -> Any:
        self.asked.release()
        self.over.wait()
        return self._honest.may_start(*args)


@pytest.fixture
def crowd(database: Any) -> Iterator[Crowd]:
    made = Crowd(2)
    yield made
    made.stop()


@pytest.fixture
def policy(crowd: Crowd) -> Iterator[Hanging]:
    made = Hanging(crowd.services.azm)
    object.__setattr__(crowd.services, "azm", made)
    yield made
    made.over.set()


def _owner(migration_id: str) -> tuple[str | None, datetime | None]:
    with database.session() as session:
        row = migrations.get(session, migration_id)
        return row.owner, row.owner_seen_at


@pytest.mark.parametrize(("role", "phase"), PHASES)
def test_only_what_has_not_begun_queues(role: str, phase: str) -> None:
    step = flow.step(role, phase)
    if step is not None and step.queues:
        assert (role, phase) in {("source", "requested"), ("destination", "authenticated")}
        assert not step.stops


def test_no_peer_has_more_than_half_of_the_places_and_the_one_with_fewest_is_next() -> None:
    places = Places(4)
    for number in range(4):
        places.ask(f"slow-{number}", "slow")
    assert list(places.give()) == ["slow-0", "slow-1"]
    places.ask("quick-0", "quick")
    places.ask("other-0", "other")
    assert list(places.give()) == ["quick-0", "other-0"]
    places.ask("quick-1", "quick")
    places.leave("slow-1")
    # slow-2 asked first, and its peer has a place already; so has quick's.
    assert list(places.give()) == ["slow-2"]
    places.leave("quick-0")
    assert list(places.give()) == ["quick-1"]


def test_what_queues_another_engine_takes_at_once(crowd: Crowd, policy: Hanging) -> None:
    first, second = crowd.leave(), crowd.leave(to=TRICKLER.name)
    for _ in (first, second):
        assert policy.asked.acquire(timeout=60)
    queued = crowd.leave()
    assert _owner(queued) == (None, None)
    assert sorted(crowd.workers.owned) == sorted([first, second])

    other = crowd.engine("another", 2)
    other.work_on(queued)
    assert policy.asked.acquire(timeout=60)
    assert _owner(queued)[0] == "another"
    policy.over.set()
    other.stop()


def test_what_no_thread_carries_gets_no_sign_of_life(crowd: Crowd, policy: Hanging) -> None:
    carried = crowd.leave()
    assert policy.asked.acquire(timeout=60)
    left = str(uuid.uuid4())
    old = datetime.now(UTC) - timedelta(minutes=5)
    with database.session() as session:
        about = {"role": "source", "peer": THERE.name, "project_id": "p", "phase": "requested", "server_id": left}
        migrations.create(session, id=left, owner="engine", owner_seen_at=old, **about)
        migrations.get(session, carried).owner_seen_at = old
    Heartbeat(crowd.services.conf, crowd.workers, "engine").look()
    assert _owner(left) == ("engine", old)
    assert _owner(carried)[1] > old  # type: ignore[operator]


def test_how_long_an_owner_is_silent_is_told_by_the_databases_clock(
    crowd: Crowd, policy: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = datetime(2031, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(database, "now", lambda session: there)
    carried = crowd.leave()
    assert policy.asked.acquire(timeout=60)
    assert _owner(carried) == ("engine", there)
    there += timedelta(seconds=10)
    Heartbeat(crowd.services.conf, crowd.workers, "engine").look()
    assert _owner(carried) == ("engine", there)


def test_after_a_restart_what_stands_still_is_taken_up_first(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(Workers, "work_on", lambda self, migration_id: taken.append(migration_id))
    rows = [
        ("source", "requested", {}),
        ("source", "transferring", {}),
        ("source", "withdrawing", {}),
        ("destination", "landing", {}),
        ("source", "transferring", {"stopped": True}),
        ("source", "released", {"stopped": True}),
        ("destination", "resuming", {}),
    ]
    for number, (role, phase, state) in enumerate(rows):
        about = {"role": role, "peer": THERE.name, "project_id": "p", "phase": phase, "state": state}
        with database.session() as session:
            migrations.create(session, id=str(number), server_id=str(number), **about)
    Recovery(crowd.services.conf, crowd.services, crowd.workers).take_up()
    assert taken == ["4", "5", "6", "0", "1", "2", "3"]


def test_one_bad_row_keeps_nobody_from_being_taken_up_and_is_told_once(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recovery = Recovery(crowd.services.conf, crowd.services, crowd.workers)
    at = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    with database.session() as session:
        about = {"peer": THERE.name, "project_id": "p", "server_id": None}
        migrations.create(session, id="bad", role="destination", phase="receiving", not_after=at, **about)
        migrations.create(session, id="good", role="destination", phase="resuming", **about)
        migrations.create(session, id="late", role="destination", phase="landing", **about)
    taken: list[str] = []
    monkeypatch.setattr(Workers, "work_on", lambda self, migration_id: taken.append(migration_id))
    recovery.take_up()
    recovery.take_up()
    assert taken == ["good", "late"] * 2
    told = [one for one in caplog.records if "bad" in one.getMessage()]
    assert [one.levelname for one in told].count("WARNING") == 1


@pytest.mark.parametrize("of_all", [conductor.HELD, conductor.HELD_FOR_A_PEER])
def test_a_peers_requests_are_all_taken_and_only_a_few_of_them_are_held(
    crowd: Crowd, of_all: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "PATIENCE", 3600.0)
    # As many of one peer as it may have; or as many as all may have together.
    monkeypatch.setattr(conductor, "HELD", of_all)
    held = conductor.HELD_FOR_A_PEER
    if of_all == held:
        monkeypatch.setattr(conductor, "HELD_FOR_A_PEER", held + 1)
    over, placing = threading.Event(), threading.Semaphore(0)
    honest = crowd.agents.start_destination

    def start_destination(*args: Any, **kwargs: Any) -> Any:
        placing.release()
        over.wait()
        return honest(*args, **kwargs)

    monkeypatch.setattr(crowd.agents, "start_destination", start_destination, raising=False)
    senders = [crowd.sender().run("TokenAB") for _ in range(held + 1)]
    polls = [threading.Thread(target=one.say, args=["Envelope"]) for one in senders[:-1]]
    for poll in polls:
        poll.start()
        assert placing.acquire(timeout=60)
    envelope = surroundings.b64(senders[-1].make("Envelope"))
    assert crowd.conductor.receive({}, envelope)["status"] == HTTPStatus.ACCEPTED
    # It is worked on all the same.
    assert placing.acquire(timeout=60)
    over.set()
    for poll in polls:
        poll.join()
