# SPDX-License-Identifier: Apache-2.0
"""A server ends while its migration is under way: its memory is lost, and whoever reads the migration is told."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import audit
from sv2m.db import engine as database
from sv2m.engine.notifying import AuditPublisher
from tests.unit.engine.leaving import Source
from tests.unit.engine.recorder import Killed

BROKEN = errors.HypervisorError("QEMU's monitor: broken on purpose")
SECONDS, MINUTE = timedelta(seconds=20), timedelta(minutes=1)


def told(source: Source, *, status: str, before: str) -> None:
    """Everything that somebody who reads the migration has to know."""
    row = source.row
    assert (row.status, row.fault, row.error_code) == (status, "host", "memory-lost")
    assert f"({before})" in row.error_message and "memory is lost" in row.error_message
    assert f"openstack server start {source.server_id}" in row.error_remedy
    assert (source.nova.status, source.nova.locked) == ("SHUTOFF", False)


def not_told(source: Source, before: str = BROKEN.code) -> None:
    assert source.row.error_code == before


def dies_when_it_is_settled(source: Source) -> None:
    """The first look of that kind is the one before the pause, the second that of the bringing back."""
    source.before("servers.settle", lambda: source.before("servers.settle", source.nova.die))


# -- in the step that brings it back ----------------------------------------------------------------------------------


def test_a_server_that_ended_under_our_lock(source: Source) -> None:
    source.recorder.failing["edm.manifest"] = BROKEN
    dies_when_it_is_settled(source)
    assert source.run().phase == "withdrawn"
    told(source, status="failed", before=BROKEN.code)
    assert BROKEN.message in source.row.error_message


def test_an_abort_stays_an_abort(source: Source) -> None:
    source.before("edm.stop_and_finish", source.abort)
    dies_when_it_is_settled(source)
    source.run()
    told(source, status="aborted", before="aborted")


def test_a_server_that_was_found_paused_had_a_memory_too(source: Source) -> None:
    source.nova.status, source.nova.paused_by = "PAUSED", "owner"
    source.recorder.failing["edm.manifest"] = BROKEN
    source.before("servers.settle", source.nova.die)
    source.run()
    told(source, status="failed", before=BROKEN.code)


def test_a_server_that_b_has_refused_to_resume_and_that_ended_here(source: Source) -> None:
    source.peer.resumes = False
    dies_when_it_is_settled(source)
    assert source.run().phase == "returned"
    told(source, status="failed", before="refused-by-peer")
    assert "host-died" in source.row.error_message


def test_it_is_not_forgotten_when_the_engine_dies_and_the_owner_starts_the_server_meanwhile(source: Source) -> None:
    source.recorder.failing["edm.manifest"] = BROKEN
    dies_when_it_is_settled(source)
    source.recorder.kill_on, source.recorder.kill_after_effect = ("withdrawing", "servers.unlock"), True
    with pytest.raises(Killed):
        source.run()
    source.recorder.kill_on = None
    source.stop()
    source.nova.start(source.server_id)
    source.start()
    assert source.run().error_code == "memory-lost"


def test_an_owner_who_stops_an_unlocked_server_before_the_step_is_done_again_is_told_nothing(source: Source) -> None:
    source.recorder.failing["edm.manifest"] = BROKEN
    source.recorder.kill_on, source.recorder.kill_after_effect = ("withdrawing", "servers.unlock"), True
    with pytest.raises(Killed):
        source.run()
    source.recorder.kill_on = None
    source.stop()
    source.nova.stop(source.server_id)
    source.start()
    assert source.run().phase == "withdrawn"
    source.tidy(MINUTE)
    not_told(source)


# -- Nova notices it when the migration is over -----------------------------------------------------------------------


def given_up(source: Source) -> None:
    source.recorder.failing["edm.manifest"] = BROKEN
    assert source.run().phase == "withdrawn"
    not_told(source)


def test_nova_notices_it_some_time_later(source: Source) -> None:
    given_up(source)
    source.tidy()
    source.nova.die(source.row.finished_at + SECONDS)
    source.tidy(MINUTE)
    told(source, status="failed", before=BROKEN.code)


@pytest.mark.parametrize("step", ["edm.start_source", "edm.describe"], ids=["never locked", "never described"])
def test_a_server_that_ended_early(source: Source, step: str) -> None:
    source.recorder.failing[step] = BROKEN
    source.run()
    source.nova.die(source.row.finished_at + SECONDS)
    source.tidy(MINUTE)
    told(source, status="failed", before=BROKEN.code)


def test_a_peer_that_calls_its_refusal_so_keeps_nobody_from_being_told(source: Source) -> None:
    source.peer.decision = p.Refused(errors.MemoryLost.code, "full")
    source.before("peers.send", source.nova.die)
    assert source.run().status == "refused"
    source.tidy()
    told(source, status="refused", before=errors.MemoryLost.code)


def test_a_refused_migration(source: Source) -> None:
    source.peer.decision = p.Refused("no-room", "full")
    source.before("peers.send", source.nova.die)
    assert source.run().status == "refused"
    source.tidy()
    told(source, status="refused", before="no-room")


def test_b_still_gets_the_last_word(source: Source) -> None:
    source.recorder.failing["edm.manifest"] = BROKEN
    source.peer.instead["Closure"] = [errors.PeerUnreachable("away")]
    before = source.run()
    assert before.phase == "telling"
    source.nova.die()
    source.tidy(MINUTE)
    told(source, status="failed", before=BROKEN.code)
    after = source.row
    assert (after.phase, after.updated_at, after.generation) == ("telling", before.updated_at, before.generation)


def test_it_is_an_event_once(source: Source) -> None:
    given_up(source)
    source.nova.die()
    for minutes in range(10):
        source.tidy(minutes * MINUTE)
    with database.session() as session:
        events = [json.loads(one.line) for one in audit.list_for(session, source.id)]
    (event,) = [one for one in events if one.get("error_code") == "memory-lost"]
    assert (event["action"], event["status"]) == ("told", "failed")
    assert source.row.error_message.count("memory is lost") == 1
    heard: list[tuple[str, dict[str, Any]]] = []

    class Broker:
        def info(self, ctxt: dict[str, Any], event_type: str, payload: dict[str, Any]) -> None:
            heard.append((event_type, payload))

    AuditPublisher(Broker(), "cloud-a.sv2m", 1).look()
    (payload,) = [payload for kind, payload in heard if kind == "secure_migration.audit.told"]
    assert payload["outcome"] == "failure"


# -- what is nobody's loss --------------------------------------------------------------------------------------------


def test_an_owner_who_stops_his_server_is_told_nothing(source: Source) -> None:
    given_up(source)
    source.nova.stop(source.server_id)
    source.tidy(MINUTE)
    not_told(source)


def test_a_server_that_ends_long_after_its_migration_is_told_of_by_nobody(source: Source) -> None:
    given_up(source)
    source.nova.die(source.row.finished_at + 5 * MINUTE)
    source.tidy(6 * MINUTE)
    not_told(source)


def test_a_server_that_somebody_has_locked_is_not_told_of(source: Source) -> None:
    """It may have been released by a migration of which a restored database knows nothing: then nobody may start it."""
    given_up(source)
    source.nova.die()
    source.nova.lock(source.server_id, "an operator's")
    source.tidy(MINUTE)
    not_told(source)


def test_the_last_migration_of_a_server_tells_of_it(source: Source) -> None:
    given_up(source)
    source.request(str(uuid.uuid4()))
    source.nova.die()
    source.tidy(MINUTE)
    not_told(source)


def test_a_migration_that_arrived_lost_nothing(source: Source) -> None:
    assert source.run().status == "completed"
    source.nova.exists = True
    source.nova.unlock(source.server_id)
    source.nova.die()
    source.tidy(MINUTE)
    assert source.row.error_code is None
