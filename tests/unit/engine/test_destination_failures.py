# SPDX-License-Identifier: Apache-2.0
"""What goes wrong at the destination, and what is true afterwards: the server runs here whole, or nothing is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.db.models import Message, MessagePart
from sv2m.engine import recovery
from sv2m.engine.work import Work
from sv2m.engine.worker import give_up
from sv2m.protocol import states
from tests.unit.engine.arriving import Destination
from tests.unit.engine.recorder import Killed

BROKEN = errors.HostError("broken on purpose", code="broken")
GONE = errors.HypervisorError("there is no such guest", code="restored-guest-gone")
#: A's last word before B waits in the phase.
BEFORE = {"challenged": "Offer", "accepted": "TokenAB", "receiving": "Envelope", "prepared": "Transfer"}
WITHDRAWABLE = [one for one in recovery.WAITING if "Closure.withdrawn" in states.DESTINATION[one]]


def test_our_own_reason_stays_when_the_source_withdraws_because_of_it(destination: Destination) -> None:
    destination.recorder.failing["edm.complete"] = BROKEN
    with pytest.raises(errors.RefusedByPeer):
        destination.source.run("Transfer")
    destination.post(destination.source.withdrawal())
    row = destination.carry_on()
    assert (row.phase, row.status, row.fault, row.error_code) == ("undone", "failed", "host", "broken")
    assert destination.untouched


def test_room_that_is_gone_after_a_kill_leaves_no_key(destination: Destination) -> None:
    destination.run()
    at = destination.recorder.calls.index("km.make_ekb") + 1
    destination.begin()
    destination.recorder.kill_at, destination.recorder.kill_after_effect = at, True
    with pytest.raises(Killed):
        destination.source.run("TokenAB")
    destination.lmm.full = True
    destination.restart()
    destination.source.run("TokenAB")
    assert (destination.row.phase, destination.row.error_code) == ("refused", "no-room")
    assert destination.untouched


def test_a_guest_that_was_lost_before_it_ran_is_refused_and_leaves_nothing(destination: Destination) -> None:
    destination.source.run("Transfer")
    destination.agent.gone = GONE
    destination.source.run("Release")
    row = destination.carry_on()
    assert (row.phase, row.status, row.error_code) == ("undone", "failed", "restored-guest-gone")
    assert destination.source.side.machine.phase == "returning"
    assert destination.untouched


def test_a_guest_that_ran_and_ended_is_not_refused(destination: Destination) -> None:
    """The engine was killed before it could say that the guest ran; A's older copy must not run again."""
    destination.run()
    at = destination.recorder.calls.index("edm.resume") + 1
    destination.begin()
    destination.recorder.kill_at, destination.recorder.kill_after_effect = at, True
    with pytest.raises(Killed):
        destination.source.run("Release")
    destination.agent.gone = GONE
    destination.restart()
    row = destination.run()
    assert (row.phase, row.status, row.error_code) == ("closed", "completed", None)
    assert destination.whole


@pytest.mark.parametrize("phase", recovery.WAITING)
def test_our_operators_abort(destination: Destination, phase: str) -> None:
    destination.source.run(BEFORE[phase])
    assert destination.phase == phase
    with database.session() as session:
        migrations.request_abort(session, destination.source.id)
    row = destination.look()
    assert (row.phase, row.status, row.error_code) == ("undone", "aborted", "aborted")
    assert destination.untouched


@pytest.mark.parametrize("phase", WITHDRAWABLE)
def test_a_withdrawal_while_we_wait(destination: Destination, phase: str) -> None:
    destination.source.run(BEFORE[phase])
    destination.post(destination.source.withdrawal())
    row = destination.carry_on()
    assert (row.phase, row.status, row.fault, row.error_code) == ("undone", "aborted", "peer", "withdrawn")
    assert destination.untouched


@pytest.mark.parametrize("last", ["Transfer", None])
def test_what_has_moved_on_is_not_given_up(destination: Destination, last: str | None) -> None:
    """A step failed, but somebody else has finished it, or A has withdrawn meanwhile."""
    destination.source.run("Envelope")
    late = Work(destination.services, destination.source.id, destination.workers.stopping)  # type: ignore[union-attr]
    if last:
        destination.source.run(last)
    else:
        destination.post(destination.source.withdrawal())
        destination.carry_on()
    before = destination.phase
    give_up(late, BROKEN)
    assert (destination.phase, destination.row.error_code) == (before, None if last else "withdrawn")


def test_who_was_taken_for_dead_leaves_the_next_step_to_his_heir(destination: Destination) -> None:
    def heir() -> None:
        with database.session() as session:
            row = migrations.get(session, destination.source.id)
            row.owner, row.owner_seen_at = "engine-c", datetime.now(UTC)

    destination.before("servers.mark_arrived", heir)
    destination.source.run("Release")
    assert destination.carry_on().phase == "resumed"
    with database.session() as session:
        migrations.disown(session, "engine-c")
    assert destination.run().phase == "closed"
    assert destination.whole


def test_one_migration_that_cannot_be_read_keeps_recovery_from_no_other(destination: Destination) -> None:
    unreadable = destination.source.run("Offer")
    destination.source = destination.sender().run("Offer")
    with database.session() as session:
        said = sa.select(Message.id).where(Message.migration_id == unreadable.id)
        session.execute(sa.update(MessagePart).where(MessagePart.message_id.in_(said)).values(content=b"rubbish"))
    row = destination.look(later=timedelta(hours=2))
    assert (row.phase, row.error_code) == ("undone", "source-silent")


def test_a_server_that_bears_its_mark_has_run_whatever_its_agent_knows(destination: Destination) -> None:
    destination.recorder.kill_on = ("resuming", "mam.sign")
    with pytest.raises(AssertionError, match="for ever in resuming"):
        destination.source.run("Release")
    destination.recorder.kill_on = None
    destination.agent.state, destination.agent.gone = "unknown", errors.HypervisorError("gone")
    destination.restart()
    assert destination.run().phase == "closed"
    receipt = destination.source.side.machine.message(p.Receipt)
    assert receipt.outcome == "resumed"


def test_a_placeholder_that_a_robbed_engine_made_does_not_stay_in_the_project(destination: Destination) -> None:
    destination.source.run("Transfer")
    migration = destination.source.id
    surplus = destination.nova.create_placeholder(host="compute-b", project_id="project", migration_id=migration)
    row = destination.run()
    assert row.phase == "closed"
    assert surplus not in destination.nova.servers
    assert destination.whole
