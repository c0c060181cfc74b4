# SPDX-License-Identifier: Apache-2.0
"""One answer that is lost, of a module, a service, the agent or the database, costs no transfer of hours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import oslo_messaging
import pytest
from oslo_db import exception as db_exc

from sv2m import errors
from sv2m.db import migrations
from sv2m.engine import sealing, work, worker
from tests.unit.engine.arriving import Destination
from tests.unit.engine.leaving import Source

SILENT = errors.AgentSilent("sv2m-agent on compute-a does not answer")
AWAY = errors.ServiceUnavailable("sv2m-mam does not answer")
LOST = [SILENT, AWAY, db_exc.DBDeadlock(), db_exc.DBConnectionError(), oslo_messaging.MessagingTimeout()]
#: The calls of A after the transfer has begun, and of B after the keys were handed over.
AT_A = [
    ("transferring", "edm.start_source"),
    ("transferring", "edm.wait"),
    ("transferring", "servers.pause"),
    ("transferring", "edm.stop_and_finish"),
    ("transferring", "edm.manifest"),
    ("transferring", "mam.sign_manifest"),
    ("transferring", "km.seal_signature"),
    ("transferring", "mam.sign"),
    ("transferred", "mam.verify"),
    ("transferred", "cmm.validate"),
    ("prepared", "edm.check_unchanged"),
    ("prepared", "mam.sign"),
]
AT_B = [
    ("landing", "servers.suspend"),
    ("landing", "edm.start_destination"),
    ("verifying", "km.open_signature"),
    ("verifying", "edm.complete"),
    ("verifying", "edm.status"),
    ("verifying", "mam.sign"),
]


@pytest.fixture(autouse=True)
def patience(no_pauses: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PATIENCE", 300.0)
    monkeypatch.setattr(worker, "_PATIENCE_STOPPED", 45.0)


#: Whether the request was lost, or its answer. One request is never made twice: see the test below.
LOST_AT_A = [
    (*one, after_effect)
    for one in AT_A
    for after_effect in (False, True)
    if (one[1], after_effect) != ("edm.start_source", False)
]


@pytest.mark.parametrize(("phase", "call", "after_effect"), LOST_AT_A)
def test_an_answer_that_is_lost_at_the_source(source: Source, phase: str, call: str, after_effect: bool) -> None:
    source.recorder.once[phase, call] = [AWAY]
    source.recorder.once_after_effect = after_effect
    row = source.run()
    assert (row.phase, row.status) == ("closed", "completed")
    assert source.recorder.once[phase, call] == []
    assert source.gone


def test_an_agent_that_was_to_begin_and_knows_nothing_of_it_does_not_begin_again(source: Source) -> None:
    """It may have sealed something under VMK and been restarted: nobody can tell that from a request that was lost."""
    source.recorder.once["transferring", "edm.start_source"] = [AWAY]
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "failed", "agent-lost")
    assert source.recorder.calls.count("edm.start_source") == 1
    assert source.at_home


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(("phase", "call"), AT_B)
def test_an_answer_that_is_lost_at_the_destination(
    destination: Destination, phase: str, call: str, after_effect: bool
) -> None:
    destination.recorder.once[phase, call] = [AWAY]
    destination.recorder.once_after_effect = after_effect
    row = destination.run()
    assert (row.phase, row.status) == ("closed", "completed")
    assert destination.recorder.once[phase, call] == []
    assert destination.whole


@pytest.mark.parametrize("lost", LOST, ids=lambda one: type(one).__name__)
def test_whatever_is_lost_while_the_agent_works_it_is_asked_again_and_the_transfer_begins_once(
    source: Source, lost: Exception
) -> None:
    source.recorder.once["transferring", "edm.wait"] = [lost] * 3
    assert source.run().phase == "closed"
    assert source.recorder.calls.count("edm.start_source") == 1


@pytest.mark.parametrize("read", ["check_abort", "progress"])
def test_a_database_that_is_away_for_a_moment_withdraws_nothing(
    source: Source, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, failures = getattr(work.Work, read), [db_exc.DBConnectionError()] * 2

    def fail(self: Any, *args: Any) -> Any:
        if failures and source.recorder.phases[-1] == "transferring":
            raise failures.pop()
        return honest(self, *args)

    monkeypatch.setattr(work.Work, read, fail)
    assert source.run().phase == "closed"
    assert not failures
    assert source.recorder.calls.count("edm.start_source") == 1


def test_evidence_is_kept_although_the_database_chose_it_as_a_victim(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, failures = work.messages.record, [db_exc.DBDeadlock()] * 2

    def record(session: Any, migration_id: str, kind: str, *args: Any, **kwargs: Any) -> Any:
        if failures and kind == sealing.MANIFEST:
            raise failures.pop()
        return honest(session, migration_id, kind, *args, **kwargs)

    monkeypatch.setattr(work.messages, "record", record)
    assert source.run().phase == "closed"
    assert source.kept(sealing.MANIFEST) is not None
    assert source.recorder.calls.count("mam.sign_manifest") == 1


def test_an_agent_that_was_restarted_has_lost_the_job_and_is_not_asked_again(source: Source) -> None:
    source.before("edm.wait", lambda: setattr(source.agent, "state", "unknown"))
    row = source.run()
    assert (row.phase, row.error_code) == ("withdrawn", "agent-lost")
    assert source.agent.waits == 1
    assert source.at_home


def test_an_agent_that_is_silent_while_the_server_stands_still_is_not_waited_for_as_long(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "_SILENCE", -1.0)
    source.before("edm.stop_and_finish", lambda: source.recorder.failing.update({"edm.wait": SILENT}))
    row = source.run()
    assert (row.phase, row.error_code) == ("withdrawn", "agent-lost")
    assert source.at_home


def test_what_stays_away_is_given_up_in_the_end(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PATIENCE_STOPPED", -1.0)
    source.recorder.failing["edm.manifest"] = AWAY
    row = source.run()
    assert (row.phase, row.error_code) == ("withdrawn", AWAY.code)
    assert source.at_home


def test_a_claim_is_made_although_the_database_chose_it_as_a_victim(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, failures = migrations.claim, [db_exc.DBDeadlock()] * 2

    def claim(session: Any, migration_id: str, owner: str, now: datetime, *args: Any) -> bool:
        if failures:
            raise failures.pop()
        assert now <= datetime.now(UTC)
        return honest(session, migration_id, owner, now, *args)

    monkeypatch.setattr(migrations, "claim", claim)
    assert source.run().phase == "closed"
