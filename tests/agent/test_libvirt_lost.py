# SPDX-License-Identifier: Apache-2.0
"""libvirtd is killed under an agent that goes on. What was in QEMU is undone when libvirtd is back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sv2m import errors
from tests.agent.conftest import World
from tests.agent.hosts import Server
from tests.agent.leftovers import in_qemu
from tests.agent.move import Move
from tests.agent.test_faults import clean, to_finishing, to_precopy


@pytest.mark.parametrize("reach", [to_precopy, to_finishing], ids=["amid its disks", "amid its memory"])
def test_the_source_is_undone_once_libvirtd_is_back(world: World, reach: Callable[[Move, Server], None]) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    reach(move, placeholder)
    # It tries every 15 s; here the test says when.
    world.a.agent._undoing.stop()
    world.hosts.a.kill()
    with pytest.raises(errors.HypervisorError):
        world.a.call("abort", migration_id=move.id)
    world.hosts.a.start()
    world.server.connect_again()
    assert in_qemu(world.server.domain) != []
    # As the agent itself does after some seconds, when nobody asks it any more.
    world.a.agent._undoing.look()
    world.b.call("abort", migration_id=move.id)
    clean(world, move, placeholder)
