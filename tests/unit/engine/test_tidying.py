# SPDX-License-Identifier: Apache-2.0
"""A service did what it was asked when the migration was over: it is found, and undone; nothing else is touched."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sv2m import errors
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.db.models import Migration
from sv2m.engine import landing, tidying
from sv2m.engine.marking import LOCK_REASON, REASON
from tests.unit.engine.arriving import HOST, Destination
from tests.unit.engine.leaving import Source
from tests.unit.engine.surroundings import DESTINATION

BROKEN = errors.HostError("broken on purpose", code="broken")
SILENT = errors.ServiceUnavailable("no answer")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


# -- at the source ----------------------------------------------------------------------------------------------------


def pause_that_nova_has_not_begun(source: Source) -> None:
    """A's pause gets no answer; Nova has it in hand, and shows nothing of it yet."""
    source.recorder.once[("transferring", "servers.pause")] = [SILENT]
    assert source.run().phase == "withdrawn"
    assert source.at_home
    source.tidy()
    assert source.at_home


def test_a_pause_that_nova_begins_when_it_is_over_is_undone(source: Source) -> None:
    pause_that_nova_has_not_begun(source)
    source.nova.slow = 3
    source.nova.pause(source.server_id)
    source.tidy(MINUTE)
    assert source.at_home


def test_a_pause_of_the_owners_stays(source: Source) -> None:
    pause_that_nova_has_not_begun(source)
    source.nova.pause(source.server_id, by="owner")
    source.tidy(MINUTE)
    assert source.nova.status == "PAUSED"


def test_a_server_that_was_found_paused_stays_so(source: Source) -> None:
    source.nova.status, source.nova.paused_by = "PAUSED", "sv2m"
    source.recorder.failing["edm.manifest"] = BROKEN
    assert source.run().phase == "withdrawn"
    source.tidy(MINUTE)
    assert source.nova.status == "PAUSED"


def test_a_lock_that_nova_begins_when_it_is_over_is_undone(source: Source) -> None:
    pause_that_nova_has_not_begun(source)
    source.nova.lock(source.server_id, LOCK_REASON.format(id=source.id, peer=DESTINATION.name))
    source.tidy(MINUTE)
    assert source.at_home


def test_a_mark_that_nova_makes_when_b_has_refused_to_resume_is_undone(source: Source) -> None:
    """Nova was asked to mark the server as released, and did not answer; B's signature has given it back since."""
    source.recorder.once[("released", "servers.lock")] = [SILENT]
    source.peer.resumes = False
    assert source.run().phase == "returned"
    assert source.at_home
    source.nova.lock(source.server_id, REASON.format(id=source.id, peer=DESTINATION.name))
    source.tidy(MINUTE)
    assert source.at_home


@pytest.mark.parametrize("by", ["this", "another"])
def test_a_mark_without_bs_signed_refusal_stays(source: Source, by: str) -> None:
    """A database restored from before the release knows nothing of what this migration has given away since."""
    if by == "this":
        pause_that_nova_has_not_begun(source)
    else:
        source.peer.resumes = False
        assert source.run().phase == "returned"
    mark = REASON.format(id=source.id if by == "this" else uuid.UUID(int=1), peer=DESTINATION.name)
    source.nova.lock(source.server_id, mark)
    source.tidy(MINUTE)
    assert source.nova.lock_reason == mark


@pytest.mark.parametrize("reason", ["an operator's", LOCK_REASON.format(id=uuid.UUID(int=1), peer=DESTINATION.name)])
def test_a_server_that_somebody_else_has_locked_is_not_touched(source: Source, reason: str) -> None:
    """Another migration may have released it, one of which a restored database knows nothing."""
    pause_that_nova_has_not_begun(source)
    source.nova.pause(source.server_id)
    source.nova.lock(source.server_id, reason)
    source.tidy(MINUTE)
    assert (source.nova.status, source.nova.lock_reason) == ("PAUSED", reason)


def test_a_server_that_is_moved_again_is_not_touched(source: Source) -> None:
    pause_that_nova_has_not_begun(source)
    source.request(str(uuid.uuid4()))
    source.nova.pause(source.server_id)
    source.tidy(MINUTE)
    assert source.nova.status == "PAUSED"


@pytest.mark.parametrize("fails", [False, True])
def test_a_vmk_that_barbican_makes_when_it_is_over_goes(source: Source, fails: bool) -> None:
    if fails:
        source.recorder.failing["km.make_vmk"] = SILENT
    assert source.run().status == ("failed" if fails else "completed")
    before = dict(source.km.stored)
    source.km.make_vmk({}, source.id)
    source.tidy(MINUTE)
    assert source.km.stored == before


def test_a_server_that_is_gone_has_its_keys_removed_all_the_same(source: Source) -> None:
    pause_that_nova_has_not_begun(source)
    source.nova.delete(source.server_id, 1)
    source.km.make_vmk({}, source.id)
    source.tidy(MINUTE)
    assert set(source.km.stored) == {"eik"}


# -- at the destination -----------------------------------------------------------------------------------------------


def placeholder(destination: Destination) -> str:
    asked = {"migration_id": destination.source.id, "project_id": "project", "host": HOST}
    return destination.nova.create_placeholder(**asked)


LATE: dict[str, Callable[[Destination], object]] = {
    "server": placeholder,
    "volume": lambda b: b.km.import_volume({}, b.source.id, volume_type=None, size_gb=1),
    "port": lambda b: b.neutron.create(b.source.id, "project", "landing", "fa:16:3e:00:00:01"),
    "image": lambda b: b.glance.blank_image(b.source.id, "project"),
    "key": lambda b: b.km.stored.update({f"EIK-0-{b.source.id}": b"late"}),
}


def undone(destination: Destination) -> None:
    destination.recorder.failing["servers.create_placeholder"] = SILENT
    with pytest.raises(errors.RefusedByPeer):
        destination.source.run("Envelope")
    assert destination.carry_on().phase == "undone"
    assert destination.untouched


@pytest.mark.parametrize("made", LATE)
def test_what_is_made_when_it_is_over_is_removed(destination: Destination, made: str) -> None:
    undone(destination)
    LATE[made](destination)
    assert not destination.untouched
    destination.tidy()
    assert destination.untouched


def test_a_key_for_a_migration_that_was_refused_is_removed(destination: Destination) -> None:
    """Its own ekB is stored late, and what was allowed at first is not any more."""
    destination.recorder.failing["lmm.hold"] = errors.NoRoom("full")
    destination.source.run("TokenAB")
    with database.session() as session:
        row = migrations.get(session, destination.source.id)
        migrations.advance(session, row.id, row.phase, row.generation, row.phase, state={**row.state, "held": True})
    assert destination.row.phase == "refused"
    destination.km.make_ekb({}, destination.source.id)
    destination.tidy()
    assert not destination.km.stored


def test_what_has_arrived_is_not_touched_even_if_its_owner_takes_the_mark_off(destination: Destination) -> None:
    assert destination.run().status == "completed"
    (server,) = destination.nova.servers.values()
    del server["arrived"]
    for late in ("image", "key"):
        LATE[late](destination)
    destination.tidy(MINUTE)
    assert destination.whole


def test_what_arrived_before_this_database_was_restored_is_not_touched(destination: Destination) -> None:
    undone(destination)
    arrived = placeholder(destination)
    destination.nova.mark_arrived(arrived, destination.source.id)
    for late in LATE:
        LATE[late](destination)
    destination.tidy()
    assert arrived in destination.nova.servers
    assert destination.neutron.ports and destination.km.volumes
    assert not destination.km.stored


def test_where_an_undoing_found_an_arrived_server_nothing_but_keys_is_looked_for(destination: Destination) -> None:
    def arrives() -> None:
        destination.nova.mark_arrived(placeholder(destination), destination.source.id)

    destination.before("servers.find_placeholders", arrives)
    destination.recorder.failing["servers.create_placeholder"] = SILENT
    destination.recorder.failing["edm.start_destination"] = BROKEN
    with pytest.raises(errors.RefusedByPeer):
        destination.source.run("Envelope")
    assert destination.carry_on().error_code == landing.ARRIVED_BEFORE
    (server,) = destination.nova.servers.values()
    del server["arrived"]
    destination.tidy()
    assert list(destination.nova.servers.values()) == [server]


# -- for how long -----------------------------------------------------------------------------------------------------


def looks(destination: Destination) -> int:
    return destination.recorder.calls.count("km.forget")


def test_it_is_looked_less_and_less_often_and_then_no_more(destination: Destination) -> None:
    undone(destination)
    before = looks(destination)
    for seconds in range(0, 1200, 10):
        destination.tidy(timedelta(seconds=seconds))
    assert looks(destination) - before == 7
    assert destination.row.tidy_at is None
    LATE["server"](destination)
    destination.tidy(DAY)
    assert destination.nova.servers


def test_an_engine_that_was_away_all_the_time_still_looks_once(destination: Destination) -> None:
    undone(destination)
    for late in LATE:
        LATE[late](destination)
    assert destination.tidy(DAY).tidy_at is None
    assert destination.untouched


def test_a_look_that_fails_is_done_again(destination: Destination) -> None:
    undone(destination)
    LATE["server"](destination)
    destination.recorder.failing["servers.find_placeholders"] = SILENT
    assert destination.tidy(timedelta(hours=1)).tidy_at is not None
    destination.recorder.failing.clear()
    assert destination.tidy(timedelta(hours=3)).tidy_at is None
    assert destination.untouched


def test_a_look_that_never_succeeds_ends_in_the_log(
    destination: Destination, caplog: pytest.LogCaptureFixture
) -> None:
    undone(destination)
    destination.recorder.failing["km.forget"] = ZeroDivisionError("a bug")
    assert destination.tidy(2 * DAY).tidy_at is None
    assert f"Migration {destination.source.id}: something that was made for it too late may be left" in caplog.text


def test_of_two_engines_one_looks(destination: Destination) -> None:
    undone(destination)
    before = looks(destination)
    destination.before("km.remove_imported", destination.tidy)
    destination.tidy()
    assert looks(destination) - before == 1


def test_a_last_word_that_is_still_offered_is_not_hurried(source: Source) -> None:
    """It goes by when its row was touched last."""
    source.recorder.failing["km.seal_signature"] = BROKEN
    source.peer.instead["Closure"] = [errors.PeerUnreachable("away")]
    before = source.run()
    assert before.phase == "telling"
    after = source.tidy()
    assert after.tidy_at != before.tidy_at
    assert (after.updated_at, after.generation) == (before.updated_at, before.generation)


def test_a_server_that_stands_still_waits_for_nobodys_deletion(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause_that_nova_has_not_begun(source)
    source.nova.pause(source.server_id)
    monkeypatch.setattr(tidying, "_AT_ONCE", 1)
    hanging, over = threading.Semaphore(0), threading.Event()
    honest = tidying.tidy

    def tidy(services: Any, row: Migration) -> None:
        if row.id != source.id:
            hanging.release()
            over.wait()
        else:
            honest(services, row)

    monkeypatch.setattr(tidying, "tidy", tidy)
    ended = datetime.now(UTC) - timedelta(hours=1)
    for number in range(3):
        about = {"peer": DESTINATION.name, "project_id": "p", "phase": "undone", "status": "failed", "tidy_at": ended}
        with database.session() as session:
            migrations.create(session, id=str(number), role="destination", finished_at=ended, **about)
    looking = tidying.Tidying(source.services.conf, source.services)
    looking.look(datetime.now(UTC) + MINUTE)
    looking._in_hand[source.id].join(60)
    assert source.at_home
    # One hangs, and the others wait for it; what is in hand is not begun once more.
    assert hanging.acquire(timeout=60)
    looking.look(datetime.now(UTC) + MINUTE)
    assert not hanging.acquire(blocking=False)
    over.set()
    looking.stop()
