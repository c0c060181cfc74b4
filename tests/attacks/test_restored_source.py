# SPDX-License-Identifier: Apache-2.0
"""A's database is restored from a backup of a moment at which the server was still A's; B runs it by now."""

from __future__ import annotations

import uuid

import pytest

from sv2m import errors
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.engine.marking import REASON, RELEASED_BEFORE
from tests.attacks.backups import Backup
from tests.attacks.cloud_a import CloudA
from tests.unit.engine.recorder import Killed
from tests.unit.engine.surroundings import DESTINATION

#: When A's database is backed up: just before the phase's call; and where A then stops, because people must look.
MOMENTS = [
    ("transferring", "servers.lock", "withdrawing"),
    ("transferring", "servers.pause", "withdrawing"),
    ("transferred", "peers.send", "withdrawing"),
    ("prepared", "edm.check_unchanged", "withdrawing"),
]


def killed_at(a: CloudA, phase: str, call: str, *, after: bool) -> None:
    a.recorder.kill_on, a.recorder.kill_after_effect = (phase, call), after
    with pytest.raises(Killed):
        a.run()
    a.recorder.kill_on = None
    a.stop()


def released_and_restored(a: CloudA, phase: str, call: str) -> None:
    """B runs the server, A has not heard so; then A's database is that of before, and an engine is started on it."""
    killed_at(a, phase, call, after=False)
    backup = Backup()
    a.start()
    killed_at(a, "released", "peers.send", after=True)
    assert a.peer.side.machine.phase == "resumed"
    backup.restore()
    assert a.row.phase == phase
    a.start()


def stands_still(a: CloudA) -> bool:
    return a.nova.exists and a.nova.settle(a.server_id, 1)["status"] == "PAUSED" and a.nova.locked


def tries(a: CloudA, times: int) -> None:
    """Let the engine try so often to give the migration up, or until it has."""
    seen: list[str] = []

    def again() -> None:
        assert stands_still(a)
        seen.append(a.row.phase)
        if seen.count("withdrawing") > times:
            raise Killed
        a.before("servers.get", again)

    a.before("servers.get", again)
    try:
        a.run()
    except Killed:
        a.stop()
        a.start()
    a.recorder.hooks.clear()


@pytest.mark.parametrize(("phase", "call", "ends"), MOMENTS)
def test_as_database_restored_while_b_runs_the_server(a: CloudA, phase: str, call: str, ends: str) -> None:
    released_and_restored(a, phase, call)
    # What lets A give up: its agent has been told to forget, or was restarted.
    a.recorder.failing["edm.check_unchanged"] = errors.AgentLost("knows nothing of it")
    tries(a, 3)
    row = a.row
    assert (row.phase, row.error_code) == (ends, RELEASED_BEFORE)
    assert "may run at the peer" in row.error_message
    assert stands_still(a)


def test_as_operators_abort_after_a_restore(a: CloudA) -> None:
    released_and_restored(a, "prepared", "edm.check_unchanged")
    a.abort()
    tries(a, 1)
    assert (a.row.phase, a.row.error_code) == ("withdrawing", RELEASED_BEFORE)
    assert stands_still(a)


def test_when_people_have_looked_the_server_that_is_bs_may_be_deleted(a: CloudA) -> None:
    released_and_restored(a, "prepared", "edm.check_unchanged")
    a.abort()
    tries(a, 1)
    a.nova.delete(a.server_id, 1)
    # B, which has taken the Release, takes no withdrawal.
    assert (a.run().phase, set(a.km.stored)) == ("telling", {"eik"})


def test_when_people_have_looked_the_server_that_is_not_bs_may_be_unlocked(a: CloudA) -> None:
    released_and_restored(a, "prepared", "edm.check_unchanged")
    a.abort()
    tries(a, 1)
    a.nova.unlock(a.server_id)
    assert a.run().phase == "telling"
    assert a.at_home


def test_a_server_that_a_forgotten_migration_released_is_not_sent_again(a: CloudA) -> None:
    """The backup is older than the whole migration: nothing of it is known, but what stands at the server."""
    forgotten = str(uuid.uuid4())
    a.nova.pause(a.server_id)
    a.nova.lock(a.server_id, REASON.format(id=forgotten, peer=DESTINATION.name))
    row = a.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "failed", RELEASED_BEFORE)
    assert forgotten in row.error_message
    assert not a.sent and stands_still(a)


def test_the_mark_is_there_before_b_is_asked(a: CloudA) -> None:
    reasons: list[str | None] = []
    release = a.peer._release

    def seen() -> str:
        reasons.append(a.nova.lock_reason)
        return release()

    a.peer._release = seen  # type: ignore[method-assign]
    assert a.run().phase == "closed"
    assert reasons == [REASON.format(id=a.id, peer=DESTINATION.name)]


@pytest.mark.parametrize("call", ["servers.lock", "servers.get"])
def test_a_nova_that_is_away_then_keeps_b_from_nothing(a: CloudA, call: str) -> None:
    a.recorder.once[("released", call)] = [errors.ServiceUnavailable("Nova: HTTP 503")]
    assert a.run().phase == "closed"
    assert a.gone


def test_a_server_that_b_signs_it_never_ran_comes_back_marked_or_not(a: CloudA) -> None:
    a.peer.resumes = False
    assert a.run().phase == "returned"
    assert a.at_home
    with database.session() as session:
        assert migrations.get(session, a.id).error_code == "refused-by-peer"
