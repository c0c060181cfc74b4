# SPDX-License-Identifier: Apache-2.0
"""What the offer says is looked at again before the server is stopped, and before it is released.

Whatever moved: the migration fails with a code that says what, and the server goes on at A.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from sv2m import errors
from tests.unit.engine.leaving import HOST, Source
from tests.unit.engine.recorder import Killed

#: From the last call before a look to the phase in which it is made.
AT_THE_OFFER, BEFORE_THE_STOP, BEFORE_THE_RELEASE = "azm.may_start", "edm.start_source", "edm.manifest"
MOMENTS = pytest.mark.parametrize(
    ("call", "phase"),
    [(AT_THE_OFFER, "requested"), (BEFORE_THE_STOP, "transferring"), (BEFORE_THE_RELEASE, "prepared")],
)


def fails(source: Source, call: str, phase: str, code: str, *words: str) -> None:
    """The migration fails at the look that follows a call, and the server is as it was."""
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "failed", code)
    assert all(word in row.error_message for word in words), row.error_message
    looked = source.recorder.calls.index("edm.abort") - 1 if phase != "requested" else -1
    assert source.recorder.phases[looked] in (phase, "withdrawing")
    assert source.at_home
    assert "Release" not in source.documents
    assert (source.nova.paused > 0) == (phase == "prepared")


@MOMENTS
@pytest.mark.parametrize(
    "change",
    [
        {"status": "backing-up"},
        {"status": "retyping"},
        {"status": "awaiting-transfer"},
        {"status": "extending"},
        {"migration_status": "starting"},
    ],
    ids=lambda change: "-".join(change.values()),
)
def test_a_volume_with_which_cinder_is_busy(source: Source, call: str, phase: str, change: dict[str, str]) -> None:
    source.before(call, lambda: source.cinder.volume.update(change))
    fails(source, call, phase, "volume-busy", *change.values())


@MOMENTS
def test_a_volume_that_gets_a_snapshot(source: Source, call: str, phase: str) -> None:
    source.before(call, lambda: source.cinder.snapshot_ids.append("snapshot-1"))
    fails(source, call, phase, "server-not-movable", "snapshot-1")


@MOMENTS
def test_a_volume_that_is_attached_elsewhere(source: Source, call: str, phase: str) -> None:
    source.before(call, lambda: source.cinder.volume.update(servers=["another"]))
    fails(source, call, phase, "server-not-movable", "another")


@pytest.mark.parametrize("status", ["success", "error"])
def test_a_migration_of_a_volume_that_is_over_is_nobodys_business(source: Source, status: str) -> None:
    source.cinder.volume["migration_status"] = status
    assert source.run().status == "completed"


@pytest.mark.parametrize(
    ("call", "phase", "code"),
    [(BEFORE_THE_STOP, "transferring", "server-changed"), (BEFORE_THE_RELEASE, "prepared", "disk-resized")],
)
def test_a_volume_that_is_extended(source: Source, call: str, phase: str, code: str) -> None:
    """Cinder extends what QEMU does not: B's volume would be smaller than the guest is told one day."""
    source.before(call, lambda: source.cinder.volume.update(size=2))
    fails(source, call, phase, code)


@pytest.mark.parametrize(
    ("call", "phase"), [(BEFORE_THE_STOP, "transferring"), (BEFORE_THE_RELEASE, "prepared")]
)
def test_a_volume_that_is_attached_since(source: Source, call: str, phase: str) -> None:
    source.before(call, lambda: source.nova.volume_ids.append("second"))
    fails(source, call, phase, "server-changed", "second")


@pytest.mark.parametrize(
    ("call", "phase"), [(BEFORE_THE_STOP, "transferring"), (BEFORE_THE_RELEASE, "prepared")]
)
def test_a_server_that_an_administrator_moves_to_another_host(source: Source, call: str, phase: str) -> None:
    source.before(call, lambda: setattr(source.nova, "host", "compute-z"))
    fails(source, call, phase, "server-changed", HOST, "compute-z")


def test_a_nic_that_was_plugged_in_before_the_agent_looked(source: Source) -> None:
    source.before("edm.start_source", lambda: source.agent.needs.update(nics=[]))
    fails(source, BEFORE_THE_STOP, "transferring", "server-changed", "nics")


def test_another_name_changes_nothing_of_the_guest(source: Source) -> None:
    source.before("edm.start_source", lambda: setattr(source.nova, "name", "renamed"))
    assert source.run().status == "completed"


def test_a_server_that_somebody_has_locked_is_left_alone(source: Source) -> None:
    source.nova.lock(source.server_id, "under investigation")
    row = source.run()
    assert (row.status, row.error_code) == ("failed", "server-locked")
    assert "under investigation" in row.error_message
    assert source.nova.lock_reason == "under investigation"


def test_a_server_that_somebody_locks_meanwhile_is_left_alone(source: Source) -> None:
    source.before("km.wrap", lambda: source.nova.lock(source.server_id, "under investigation"))
    row = source.run()
    assert (row.status, row.error_code) == ("failed", "server-locked")
    assert "edm.start_source" not in source.recorder.calls
    assert source.tidy(timedelta(minutes=1)).status == "failed"
    assert source.nova.lock_reason == "under investigation"


def test_the_server_is_locked_before_anything_of_it_is_read_and_its_owner_knows_how_to_end_that(source: Source) -> None:
    seen: list[str | None] = []
    source.before("edm.start_source", lambda: seen.append(source.nova.lock_reason))
    source.run()
    (reason,) = seen
    assert reason is not None and f"openstack secure migration abort {source.id}" in reason
    assert len(reason) <= 255


@pytest.mark.parametrize("interfere", [Source.abort, lambda source: source.recorder.failing.update(BROKEN)])
def test_what_ends_before_the_stop_unlocks_the_server(source: Source, interfere: Callable[[Source], None]) -> None:
    source.before("edm.start_source", lambda: interfere(source))
    assert source.run().phase == "withdrawn"
    assert source.at_home
    assert source.nova.paused == 0


BROKEN = {"edm.wait": errors.HostError("broken on purpose", code="broken")}


def test_a_kill_between_the_lock_and_the_first_round_leaves_no_lock(source: Source) -> None:
    source.recorder.kill_on, source.recorder.kill_after_effect = ("transferring", "servers.lock"), True
    with pytest.raises(Killed):
        source.run()
    source.recorder.kill_on = None
    assert source.nova.locked
    source.abort()
    source.stop()
    source.start()
    assert source.run().phase == "withdrawn"
    assert source.at_home


def test_a_lock_that_comes_too_late_is_taken_off(source: Source) -> None:
    """Nova did not answer, and locked the server when the migration was over."""
    reason: list[str] = []
    source.before("edm.start_source", lambda: reason.append(source.nova.lock_reason or ""))
    source.recorder.failing |= BROKEN
    source.run()
    assert not source.nova.locked
    source.nova.lock(source.server_id, reason[0])
    source.tidy(timedelta(minutes=1))
    assert not source.nova.locked


def test_what_was_ready_is_asked_once_more_before_the_stop(source: Source) -> None:
    """The engine was busy, or is another one: meanwhile the server wrote much."""
    source.agent.busy = 2
    paused: list[int] = []
    source.before("edm.may_stop", lambda: paused.append(source.nova.paused))
    assert source.run().status == "completed"
    calls = source.recorder.calls
    assert (calls.count("edm.may_stop"), paused) == (3, [0])
    assert calls.index("servers.pause") > max(at for at, call in enumerate(calls) if call == "edm.may_stop")


def test_memory_that_the_limit_lets_never_through_is_refused_at_the_offer(source: Source) -> None:
    source.services.conf.set_override("rate_limit", 50 << 20, "engine")
    source.agent.described["resident_bytes"] = 32 << 30
    row = source.run()
    assert (row.status, row.error_code, source.documents) == ("failed", "cannot-finish-in-time", [])
    for word in ("655 s", "600 s", "32768 MiB", "50.0 MiB/s"):
        assert word in row.error_message


def test_the_hosts_own_limit_counts_too(source: Source) -> None:
    source.agent.described |= {"resident_bytes": 32 << 30, "rate_limit": 50 << 20}
    assert source.run().error_code == "cannot-finish-in-time"


def test_the_agent_is_told_how_long_the_server_may_stand_still(source: Source) -> None:
    jobs: list[dict[str, float]] = []
    start = source.agent.start_source

    def noted(context: object, host: str, migration_id: str, job: dict[str, float]) -> None:
        jobs.append(job)
        start(context, host, migration_id, job)

    source.agent.start_source = noted  # type: ignore[method-assign,assignment]
    source.run()
    assert jobs[0]["downtime"] == source.services.conf.engine.downtime_timeout
    assert 0 < jobs[0]["lifetime"] <= source.services.conf.engine.offer_lifetime


def test_a_server_that_runs_on_after_a_kill_just_before_its_stop_is_looked_at_again(source: Source) -> None:
    """Written down as stopped, and never paused: it went on writing until another engine came."""
    source.recorder.kill_on = ("transferring", "servers.pause")
    with pytest.raises(Killed):
        source.run()
    source.recorder.kill_on = None
    source.stop()
    asked = source.recorder.calls.count("edm.may_stop")
    source.agent.busy = 1
    source.start()
    assert source.run().status == "completed"
    assert source.recorder.calls.count("edm.may_stop") == asked + 2
