# SPDX-License-Identifier: Apache-2.0
"""Nova pauses a server some time after it was asked to: a migration that is given up meanwhile leaves it running."""

from __future__ import annotations

import pytest

from sv2m import errors
from tests.unit.engine.leaving import Source
from tests.unit.engine.recorder import Killed

AWAY = errors.ServiceUnavailable("Nova: HTTP 503, once")


@pytest.mark.parametrize("call", ["servers.wait_for", "servers.pause", "edm.stop_and_finish"])
@pytest.mark.parametrize("slow", [0, 1, 5])
def test_a_server_that_is_being_paused_is_awaited_and_runs_again(source: Source, call: str, slow: int) -> None:
    source.nova.slow = slow
    source.recorder.once[("transferring", call)], source.recorder.once_after_effect = [AWAY], True
    if call == "servers.wait_for":
        # Not one look at the server after the pause was asked for.
        source.recorder.once_after_effect = False
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "failed", AWAY.code)
    assert source.nova.paused == 1
    assert source.at_home


@pytest.mark.parametrize("slow", [1, 5])
def test_a_kill_while_the_server_is_being_paused_does_not_end_the_migration(source: Source, slow: int) -> None:
    source.nova.slow = slow
    source.recorder.kill_on, source.recorder.kill_after_effect = ("transferring", "servers.pause"), True
    with pytest.raises(Killed):
        source.run()
    source.recorder.kill_on = None
    source.stop()
    source.start()
    assert source.run().phase == "closed"
    assert source.nova.paused == 1
    assert source.gone


def test_a_task_that_does_not_end_keeps_the_server_locked_and_is_awaited_again(source: Source) -> None:
    source.recorder.failing["edm.manifest"] = errors.HostError("broken on purpose", code="broken")
    locked: list[bool] = []
    stuck = [errors.HostError("still pausing")] * 2
    source.recorder.once[("withdrawing", "servers.settle")] = list(stuck)
    source.before("servers.unlock", lambda: locked.append(source.nova.locked))
    assert source.run().phase == "withdrawn"
    assert source.recorder.calls.count("servers.settle") == len(stuck) + 2
    assert locked == [True]
    assert source.at_home


def test_an_agent_that_gives_up_while_nova_pauses_ends_the_wait(source: Source) -> None:
    """The destination is lost: the server is not kept standing still until Nova has done with it."""

    def lost() -> None:
        source.agent.state, source.agent.error = "failed", {"code": "peer-unreachable", "message": "gone meanwhile"}

    source.nova.slow = 5
    source.before("servers.wait_for", lost)
    row = source.run()
    assert (row.phase, row.error_code) == ("withdrawn", "peer-unreachable")
    assert "edm.stop_and_finish" not in source.recorder.calls
    assert source.at_home


def test_an_abort_while_nova_pauses_ends_the_wait(source: Source) -> None:
    source.nova.slow = 5
    source.before("servers.wait_for", source.abort)
    assert (source.run().status, source.at_home) == ("aborted", True)
    assert "edm.stop_and_finish" not in source.recorder.calls


def test_an_agent_that_is_silent_while_nova_pauses_ends_nothing(source: Source) -> None:
    source.nova.slow = 5
    source.before(
        "servers.wait_for", lambda: source.recorder.once.update({("transferring", "edm.wait"): [AWAY]})
    )
    assert source.run().status == "completed"
