# SPDX-License-Identifier: Apache-2.0
"""A migration between two clouds finishes while two hundred strangers knock at B's gateway, more at its data port."""

from __future__ import annotations

from contextlib import ExitStack

from lab.cloud import PORTS
from lab.guests import until
from tests.cloud.world import World
from tests.load.strangers import (
    TO_A_DATA_ENDPOINT,
    TO_A_GATEWAY,
    Strangers,
    descriptors,
    forget_most,
    most_resident,
    resident,
)

MIB = 1 << 20
#: Of each program, beyond what it has after a migration in peace.
MORE = 300 * MIB



def _programs(world: World) -> dict[tuple[str, str, int], int]:
    """Every process of the programs that a crowd could harm: the one that is started, and the worker that works."""
    return {
        (side.name, name, number): process.pid
        for side in (world.a, world.b)
        for name in ("sv2m-gateway", "sv2m-agent", "sv2m-engine")
        for number, process in enumerate(sorted(side.processes(name), key=lambda one: one.start))
    }


def test_a_migration_finishes_while_200_strangers_knock(world: World) -> None:
    # Once in peace: what a program has then, it may have.
    server = world.a.manager.boot("in-peace")
    world.a.manager.wait_for_count(server, 5)
    world.migrate(world.a, server)
    watched = _programs(world)
    assert len(watched) == 12, "each has a worker"
    memory = {who: resident(pid) for who, pid in watched.items()}
    open_files = {who: descriptors(pid) for who, pid in watched.items()}

    server = world.a.manager.boot("in-a-crowd")
    before = world.a.manager.wait_for_count(server, 5)
    crowds: list[Strangers] = []
    with ExitStack() as leaving:
        # Those that come to B come from A's side of the cable.
        for name, manners, count in (("sv2m-gateway", TO_A_GATEWAY, 200), ("sv2m-agent", TO_A_DATA_ENDPOINT, 100)):
            address, network = world.b.session.cloud.address, world.a.session.in_network
            strangers = Strangers(PORTS[name], manners, count, 200_000, address=address, network=network)
            strangers.start()
            leaving.callback(strangers.stop)
            crowds.append(strangers)
        until(lambda: all(crowd.visits >= 400 for crowd in crowds) or None, "the strangers are there")
        for pid in watched.values():
            forget_most(pid)
        for crowd in crowds:
            crowd.count_anew()
        _, landed = world.migrate(world.a, server)
        came = [crowd.visitors for crowd in crowds]
        most = {who: most_resident(pid) for who, pid in watched.items()}
    assert came == [200, 100], "each of them was connected while the server moved"
    assert {who: peak for who, peak in most.items() if peak >= memory[who] + MORE} == {}
    assert world.b.manager.wait_for_count(landed, before.count + 3).boot == before.boot
    assert _programs(world) == watched, "none was started anew"

    def calm() -> bool | None:
        more = [who for who, pid in watched.items() if descriptors(pid) > open_files[who] + 10]
        return None if more else True

    until(calm, "every connection is closed")
