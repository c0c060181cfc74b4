# SPDX-License-Identifier: Apache-2.0
"""A migration between two clouds finishes while two hundred strangers knock at B's gateway, more at its data port."""

from __future__ import annotations

from contextlib import ExitStack

from lab.cloud import PORTS
from lab.guests import until
from tests.cloud.world import Side, World
from tests.load.strangers import TO_A_DATA_ENDPOINT, TO_A_GATEWAY, Strangers, descriptors, resident

MIB = 1 << 20
#: Of each program, beyond what it has after a migration in peace.
MORE = 300 * MIB


def _pid(side: Side, service: str) -> int:
    process = side.session.process(service)
    assert process is not None
    return process.pid


def test_a_migration_finishes_while_200_strangers_knock(world: World) -> None:
    # Once in peace: what a program has then, it may have.
    server = world.a.manager.boot("in-peace")
    world.a.manager.wait_for_count(server, 5)
    world.migrate(world.a, server)
    sides = [(side, name) for side in (world.a, world.b) for name in ("sv2m-gateway", "sv2m-agent", "sv2m-engine")]
    watched = {(side.name, name): _pid(side, name) for side, name in sides}
    memory = {who: resident(pid) for who, pid in watched.items()}
    open_files = {who: descriptors(pid) for who, pid in watched.items()}

    server = world.a.manager.boot("in-a-crowd")
    before = world.a.manager.wait_for_count(server, 5)
    with ExitStack() as crowd:
        # Those that come to B come from A's side of the cable.
        for name, manners, count in (("sv2m-gateway", TO_A_GATEWAY, 200), ("sv2m-agent", TO_A_DATA_ENDPOINT, 100)):
            address, network = world.b.session.cloud.address, world.a.session.in_network
            strangers = Strangers(PORTS[name], manners, count, 200_000, address=address, network=network)
            strangers.start()
            crowd.callback(strangers.stop)
        _, landed = world.migrate(world.a, server)
        for who, pid in watched.items():
            assert resident(pid) < memory[who] + MORE, who
    assert world.b.manager.wait_for_count(landed, before.count + 3).boot == before.boot
    assert {(side.name, name): _pid(side, name) for side, name in sides} == watched, "none was started anew"

    def calm() -> bool | None:
        more = [who for who, pid in watched.items() if descriptors(pid) > open_files[who] + 10]
        return None if more else True

    until(calm, "every connection is closed")
