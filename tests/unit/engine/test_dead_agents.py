# SPDX-License-Identifier: Apache-2.0
"""A host on which there is room, and on which no agent lives, does not keep servers from arriving on others."""

from __future__ import annotations

from typing import Any

import pytest

from sv2m import errors, reporting
from sv2m.engine import placing
from tests.unit.engine.arriving import HOST, Destination
from tests.unit.engine.recorder import Killed


@pytest.fixture
def asked(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts whose agents were asked; only that of :data:`HOST` answers."""
    found: list[str] = []
    alive = destination.agent.endpoint

    def endpoint(context: Any, host: str) -> dict[str, Any]:
        found.append(host)
        if host != HOST:
            raise errors.AgentLost(f"sv2m-agent on {host} does not answer")
        return alive(context, host)

    monkeypatch.setattr(destination.agent, "endpoint", endpoint)
    return found


def test_the_next_host_with_room_is_taken(destination: Destination, asked: list[str]) -> None:
    destination.lmm.hosts = ["dead-1", "dead-2", HOST]
    row = destination.run()
    assert (row.status, row.host) == ("completed", HOST)
    assert asked[0] == "dead-1"
    assert sorted(host for host in asked if host != HOST) == ["dead-1", "dead-2"]
    assert destination.whole


def test_of_many_hosts_those_without_an_agent_are_asked_once_and_not_again_for_the_next_server(
    destination: Destination, asked: list[str]
) -> None:
    dead = [f"dead-{number}" for number in range(40)]
    destination.lmm.hosts = [*dead, HOST]
    destination.source.run("TokenAB")
    assert destination.row.host == HOST
    assert len(asked) == len(set(asked)) + 1
    before = len(asked)
    destination.source = destination.sender().run("TokenAB")
    assert destination.row.host == HOST
    assert asked[before:] == [HOST]


def test_a_host_whose_agent_answered_the_roll_is_asked_first(destination: Destination, asked: list[str]) -> None:
    destination.lmm.hosts = [*(f"dead-{number}" for number in range(40)), HOST]
    reporting.written_down(reporting.AGENT, HOST, "1")
    destination.source.run("TokenAB")
    assert destination.row.host == HOST
    assert asked == [HOST]


def test_who_was_silent_for_another_server_is_asked_before_there_is_no_room(destination: Destination) -> None:
    destination.services.living.heard(HOST, answered=False)
    assert destination.run().host == HOST
    assert destination.whole


def test_the_time_in_which_hosts_are_asked_is_bounded(
    destination: Destination, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "_WITHIN", -1.0)
    destination.lmm.hosts = [f"dead-{number}" for number in range(200)]
    with pytest.raises(errors.RefusedByPeer):
        destination.source.run("TokenAB")
    assert destination.carry_on().error_code == "agent-lost"
    # The one chosen, and those asked beside it.
    assert len(asked) == 1 + placing._AT_ONCE


def test_where_no_agent_answers_the_operator_reads_which_and_nothing_is_held(
    destination: Destination, asked: list[str]
) -> None:
    destination.lmm.hosts = ["dead-1", "dead-2"]
    with pytest.raises(errors.RefusedByPeer):
        destination.source.run("TokenAB")
    row = destination.carry_on()
    assert (row.phase, row.status, row.error_code) == ("undone", "failed", "agent-lost")
    assert row.error_message == "sv2m-agent on dead-1 does not answer"
    assert sorted(asked) == ["dead-1", "dead-2"]
    assert destination.untouched


@pytest.mark.parametrize("after_effect", [False, True])
def test_an_engine_killed_between_two_hosts_leaves_nothing_on_the_first(
    destination: Destination, asked: list[str], after_effect: bool
) -> None:
    destination.lmm.hosts = ["dead-1", HOST]
    destination.source.run("Offer")
    before = len(destination.recorder.calls)
    destination.recorder.hooks["lmm.fitting"] = lambda: _kill_next(destination, after_effect)
    with pytest.raises(Killed):
        destination.source.run("TokenAB")
    assert destination.recorder.calls[before:].count("lmm.hold") == 2
    destination.restart()
    row = destination.run()
    assert (row.status, row.host) == ("completed", HOST)
    assert destination.whole


def _kill_next(destination: Destination, after_effect: bool) -> None:
    recorder = destination.recorder
    # The other host's agent is asked, and then room is held there.
    recorder.kill_at, recorder.kill_after_effect = len(recorder.calls) + 2, after_effect
