# SPDX-License-Identifier: Apache-2.0
"""An agent is killed, and started again: it undoes what it must, and keeps what it promised."""

from __future__ import annotations

from collections.abc import Callable

import libvirt
import pytest

from sv2m import errors
from tests.agent.conftest import World
from tests.agent.hosts import Server, until
from tests.agent.leftovers import leftovers, on_host
from tests.agent.move import Move
from tests.agent.test_faults import to_finishing, to_precopy, to_ready, to_restored, to_sealed


@pytest.mark.parametrize("reach", [to_precopy, to_ready, to_finishing])
def test_a_killed_source_leaves_nothing_once_it_is_back(killable: World, reach: Callable[[Move, Server], None]) -> None:
    placeholder = killable.hosts.placeholder()
    move = killable.move()
    reach(move, placeholder)
    killable.a.kill()
    killable.a.start()
    status = killable.a.call("status", migration_id=move.id)
    assert (status["state"], status["error"]["code"]) == ("failed", "agent-lost")
    assert leftovers(killable.server.domain, killable.states[:1]) == []
    killable.b.call("abort", migration_id=move.id)
    assert not placeholder.domain.isActive()


@pytest.mark.parametrize("reach", [to_precopy, to_ready, to_finishing])
def test_a_killed_destination_leaves_nothing_once_it_is_back(
    killable: World, reach: Callable[[Move, Server], None]
) -> None:
    placeholder = killable.hosts.placeholder()
    move = killable.move()
    reach(move, placeholder)
    killable.b.kill()
    killable.b.start()
    status = killable.b.call("status", migration_id=move.id)
    assert (status["state"], status["error"]["code"]) == ("failed", "agent-lost")
    assert on_host(killable.states[1]) == []
    assert not placeholder.domain.isActive()
    with pytest.raises(errors.HypervisorError, match="undone"):
        killable.b.call("check_restored", migration_id=move.id, server_id=placeholder.id)
    killable.a.call("abort", migration_id=move.id)


def test_a_sealed_source_is_still_sealed_after_a_restart(killable: World) -> None:
    placeholder = killable.hosts.placeholder()
    move = killable.move()
    to_sealed(move, placeholder)
    sealed = killable.a.call("manifest", migration_id=move.id)
    killable.a.kill()
    killable.a.start()
    assert killable.a.call("manifest", migration_id=move.id) == sealed
    killable.a.call("check_unchanged", migration_id=move.id)
    move.complete()
    move.commit()
    until("the guest counts at B", placeholder.counts)


def test_a_resume_while_the_agent_was_away_is_noticed(killable: World) -> None:
    placeholder = killable.hosts.placeholder()
    move = killable.move()
    to_sealed(move, placeholder)
    killable.a.kill()
    killable.server.domain.resume()
    killable.server.domain.suspend()
    killable.a.start()
    with pytest.raises(errors.Conflict, match="has run since"):
        killable.a.call("check_unchanged", migration_id=move.id)


def test_a_restored_guest_outlives_its_agent(killable: World) -> None:
    placeholder = killable.hosts.placeholder()
    move = killable.move()
    to_restored(move, placeholder)
    killable.b.kill()
    killable.b.start()
    assert killable.b.call("status", migration_id=move.id)["state"] == "restored"
    assert placeholder.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
    move.complete()
    move.commit()
    until("the guest counts at B", placeholder.counts)
    killable.b.kill()
    killable.b.start()
    assert killable.b.call("status", migration_id=move.id)["state"] == "running"
    killable.b.call("resume", migration_id=move.id, server_id=placeholder.id)


def test_a_restored_guest_can_still_be_undone_after_a_restart(killable: World) -> None:
    placeholder = killable.hosts.placeholder()
    move = killable.move()
    to_restored(move, placeholder)
    killable.b.kill()
    killable.b.start()
    killable.b.call("abort", migration_id=move.id)
    assert not placeholder.domain.isActive()


def test_a_restored_guest_that_was_replaced_is_gone(killable: World) -> None:
    """Somebody started the placeholder anew under the same uuid: that is not the guest that was restored."""
    placeholder = killable.hosts.placeholder()
    move = killable.move()
    to_restored(move, placeholder)
    placeholder.domain.destroy()
    placeholder.domain.create()
    with pytest.raises(errors.HypervisorError) as caught:
        killable.b.call("check_restored", migration_id=move.id, server_id=placeholder.id)
    assert caught.value.code == "restored-guest-gone"
    with pytest.raises(errors.HypervisorError):
        killable.b.call("resume", migration_id=move.id, server_id=placeholder.id)
