# SPDX-License-Identifier: Apache-2.0
"""Migrations: compare-and-swap, ownership, pages."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from sv2m import errors
from sv2m.db import engine, migrations
from sv2m.db.models import Migration

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.usefixtures("database")


def make(**values: Any) -> Migration:
    base: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "role": "source",
        "peer": "cloud-b.sv2m",
        "server_id": str(uuid.uuid4()),
        "project_id": "p1",
        "phase": "requested",
    }
    with engine.session() as session:
        return migrations.create(session, **{**base, **values})


def test_advance_moves_on_once() -> None:
    row = make()
    with engine.session() as session:
        moved = migrations.advance(session, row.id, "requested", 0, "offered", state={"a": 1}, now=NOW)
    assert (moved.phase, moved.generation, moved.state, moved.updated_at) == ("offered", 1, {"a": 1}, NOW)
    for phase, generation in (("requested", 0), ("offered", 0), ("requested", 1)):
        with pytest.raises(errors.PhaseConflict), engine.session() as session:
            migrations.advance(session, row.id, phase, generation, "authenticated", state={})
    with engine.session() as session:
        assert migrations.get(session, row.id).state == {"a": 1}


def test_what_is_found_when_it_is_over_is_told_once_and_moves_nothing_on() -> None:
    row = make()
    error = {"fault": "host", "error_code": "memory-lost", "error_message": "it ended", "error_remedy": "Start it."}
    with engine.session() as session:
        assert not migrations.tell(session, row.id, error)
        ended = migrations.advance(session, row.id, "requested", 0, "telling", status="failed", error_code="no-room")
        before = (ended.phase, ended.generation, ended.updated_at)
    for first in (True, False):
        with engine.session() as session:
            assert migrations.tell(session, row.id, error) is first
    with engine.session() as session:
        after = migrations.get(session, row.id)
        assert (after.phase, after.generation, after.updated_at) == before
        assert {name: getattr(after, name) for name in error} == error


def test_the_newest_of_a_server() -> None:
    server = str(uuid.uuid4())
    make(server_id=server, status="failed", now=NOW)
    newest = make(server_id=server, now=NOW + MINUTE)
    make(now=NOW + 2 * MINUTE)
    with engine.session() as session:
        assert migrations.newest_of_server(session, server).id == newest.id


def test_advance_sees_what_the_session_had_read_before() -> None:
    row = make()
    with engine.session() as session:
        seen = migrations.get(session, row.id)
        moved = migrations.advance(session, row.id, "requested", 0, "offered", host="node1")
        assert moved is seen
        assert (seen.phase, seen.host) == ("offered", "node1")


def test_of_many_engines_one_moves_it_on() -> None:
    row = make()
    outcomes: list[bool] = []
    start = threading.Barrier(6)

    def attempt() -> None:
        start.wait()
        try:
            engine.transaction(lambda s: migrations.advance(s, row.id, "requested", 0, "offered"))
            outcomes.append(True)
        except errors.PhaseConflict:
            outcomes.append(False)

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 5 + [True]


def test_raising_in_the_block_changes_nothing() -> None:
    row = make()
    with pytest.raises(KeyError), engine.session() as session:
        migrations.advance(session, row.id, "requested", 0, "offered")
        raise KeyError
    with engine.session() as session:
        assert migrations.get(session, row.id).phase == "requested"


def test_one_running_migration_of_a_server() -> None:
    row = make()
    with pytest.raises(errors.Conflict):
        make(server_id=row.server_id)
    with engine.session() as session:
        assert row.server_id is not None
        running = migrations.running_for_server(session, row.server_id)
        assert running is not None
        assert running.id == row.id
        done = migrations.advance(session, row.id, "requested", 0, "withdrawn", status="aborted", now=NOW)
    assert done.finished_at == NOW
    assert make(server_id=row.server_id).id != row.id


def test_same_id_twice_is_a_conflict() -> None:
    row = make()
    with pytest.raises(errors.Conflict):
        make(id=row.id)


def test_destination_has_no_server_yet() -> None:
    make(role="destination", server_id=None)
    make(role="destination", server_id=None)
    with engine.session() as session:
        assert len(migrations.list_unfinished(session, "destination")) == 2
        assert not migrations.list_unfinished(session, "source")


def test_unfinished_are_the_running_ones() -> None:
    first, second = make(now=NOW), make(now=NOW + MINUTE)
    make(status="completed")
    with engine.session() as session:
        assert [row.id for row in migrations.list_unfinished(session)] == [first.id, second.id]


def test_claim_only_from_silent_owners() -> None:
    row = make()

    def claim(owner: str, now: datetime) -> bool:
        return engine.transaction(lambda s: migrations.claim(s, row.id, owner, now, MINUTE))

    assert claim("one", NOW)
    assert claim("one", NOW + MINUTE / 2)
    assert not claim("two", NOW + MINUTE)
    assert claim("two", NOW + 2 * MINUTE)
    with engine.session() as session:
        assert migrations.heartbeat(session, "two", [row.id], NOW + 5 * MINUTE) == 1
        assert migrations.heartbeat(session, "one", [row.id], NOW + 5 * MINUTE) == 0
    assert not claim("one", NOW + 5.5 * MINUTE)
    with engine.session() as session:
        assert migrations.disown(session, "two") == 1
    assert claim("one", NOW + 5.5 * MINUTE)


def test_what_an_engine_only_queues_another_may_take() -> None:
    row, queued = make(), make()
    with engine.session() as session:
        for one in (row, queued):
            assert migrations.claim(session, one.id, "one", NOW, MINUTE)
        assert migrations.heartbeat(session, "one", [row.id], NOW + 2 * MINUTE) == 1
        assert not migrations.claim(session, row.id, "two", NOW + 2 * MINUTE, MINUTE)
        assert migrations.claim(session, queued.id, "two", NOW + 2 * MINUTE, MINUTE)


def test_what_was_let_go_of_another_may_take_at_once() -> None:
    row = make()
    with engine.session() as session:
        assert migrations.claim(session, row.id, "one", NOW, MINUTE)
        migrations.let_go(session, row.id, "two")
        assert not migrations.claim(session, row.id, "two", NOW, MINUTE)
        migrations.let_go(session, row.id, "one")
        assert migrations.claim(session, row.id, "two", NOW, MINUTE)


def test_finished_is_not_claimed() -> None:
    row = make(status="completed")
    with engine.session() as session:
        assert not migrations.claim(session, row.id, "one", NOW, MINUTE)


def test_abort_is_noted_while_it_runs() -> None:
    row, done = make(), make(status="completed")
    with engine.session() as session:
        assert migrations.request_abort(session, row.id)
        assert migrations.request_abort(session, row.id)
        assert not migrations.request_abort(session, done.id)
    with engine.session() as session:
        read = migrations.get(session, row.id)
        assert read.abort_requested
        assert (read.phase, read.generation) == ("requested", 0)


def test_progress_and_rate() -> None:
    row = make()
    with engine.session() as session:
        for seconds in range(3):
            migrations.record_progress(
                session,
                row.id,
                bytes_done=1000 * seconds,
                bytes_total=5000,
                bytes_sent=100 * seconds,
                now=NOW + timedelta(seconds=seconds),
            )
    with engine.session() as session:
        read = migrations.get(session, row.id)
    assert (read.bytes_done, read.bytes_total, read.bytes_sent, read.generation) == (2000, 5000, 200, 0)
    # Of what travels, not of what is dealt with: a hole takes no time.
    assert read.rate == 100


def test_the_time_of_sending_is_from_the_first_byte_to_the_last() -> None:
    row = make()
    looks = [(0, 0), (60, 0), (61, 500), (62, 1000), (90, 1000)]
    with engine.session() as session:
        for seconds, sent in looks:
            moment = NOW + timedelta(seconds=seconds)
            migrations.record_progress(session, row.id, bytes_done=sent, bytes_total=1000, bytes_sent=sent, now=moment)
    with engine.session() as session:
        read = migrations.get(session, row.id)
    assert read.sending_from == NOW + timedelta(seconds=60)
    assert read.progress_at == NOW + timedelta(seconds=62)


def test_pages_are_newest_first_and_within_the_project() -> None:
    mine = [make(now=NOW + n * MINUTE) for n in range(5)]
    other = make(project_id="p2")
    with engine.session() as session:
        first = migrations.list_page(session, limit=2, project_id="p1")
        rest = migrations.list_page(session, limit=9, project_id="p1", marker=first[-1].id)
        assert [row.id for row in [*first, *rest]] == [row.id for row in reversed(mine)]
        everything = migrations.list_page(session, limit=99)
        assert len(everything) == 6
        with pytest.raises(errors.LocalError):
            migrations.list_page(session, limit=2, project_id="p1", marker=other.id)


def test_pages_cut_between_equal_times() -> None:
    rows = {make(now=NOW).id for _ in range(4)}
    seen: list[str] = []
    with engine.session() as session:
        while page := migrations.list_page(session, limit=1, marker=seen[-1] if seen else None):
            seen.append(page[0].id)
    assert len(seen) == 4
    assert set(seen) == rows


@pytest.mark.parametrize(
    ("name", "value"),
    [("role", "destination"), ("status", "failed"), ("server_id", "s-1"), ("peer", "c")],
)
def test_page_filters(name: str, value: str) -> None:
    make()
    wanted = make(**{name: value})
    filters: dict[str, Any] = {name: value}
    with engine.session() as session:
        assert [row.id for row in migrations.list_page(session, limit=9, **filters)] == [wanted.id]


def test_unknown_is_not_found() -> None:
    with pytest.raises(errors.NotFound), engine.session() as session:
        migrations.get(session, "nothing")


def test_vm_generation_grows_with_attempts_and_with_time() -> None:
    row = make()
    assert row.server_id is not None
    server = row.server_id
    with engine.session() as session:
        first = migrations.next_vm_generation(session, server, now=NOW)
        assert first == int(NOW.timestamp())
        migrations.advance(session, row.id, "requested", 0, "offered", vm_generation=first, status="failed")
        # A second attempt in the same second, and one with the clock set back, still grow.
        assert migrations.next_vm_generation(session, server, now=NOW) == first + 1
        assert migrations.next_vm_generation(session, server, now=NOW - MINUTE) == first + 1
        assert migrations.next_vm_generation(session, server, now=NOW + MINUTE) == first + 60


def test_a_running_foreign_key_keeps_messages_with_their_migration(database: sa.Engine) -> None:
    from sv2m.db import messages

    with pytest.raises(Exception, match=r"(?i)foreign key"), engine.session() as session:
        messages.record(session, "nothing", "Offer", messages.SENT, b"x", b"d")
