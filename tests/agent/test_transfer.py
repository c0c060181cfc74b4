# SPDX-License-Identifier: Apache-2.0
"""A VM goes from one host to the other through real libvirt and QEMU, and goes on counting."""

from __future__ import annotations

from tests.agent.conftest import World
from tests.agent.hosts import until


def test_the_guest_goes_on_at_b_where_it_stopped_at_a(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    move.send()
    move.stop_and_seal()
    boot, last = world.server.counts()[-1]
    move.complete()
    assert world.b.call("status", migration_id=move.id)["state"] == "restored"
    assert placeholder.counts() == []
    for disk in ("volume", "local"):
        ours, theirs = getattr(world.server, disk), getattr(placeholder, disk)
        encrypted = disk == "volume"
        assert placeholder.content(theirs, encrypted) == world.server.content(ours, encrypted)
    move.commit()
    first = until("the guest counts at B", placeholder.counts)[0]
    assert first[0] == boot
    assert last <= first[1] <= last + 2
    until("it goes on", lambda: placeholder.count() > first[1] + 2)
