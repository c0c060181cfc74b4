# SPDX-License-Identifier: Apache-2.0
"""A VM goes from one host to the other through real libvirt and QEMU, and goes on counting."""

from __future__ import annotations

import libvirt
import pytest

from sv2m.agent.libvirt.monitor import command
from sv2m.errors import Conflict
from tests.agent.conftest import EIK, World
from tests.agent.hosts import Server, until
from tests.agent.leftovers import secrets_in_processes
from tests.agent.move import Move
from tests.unit.transfer.channel import Middle


def goes_on_at_b(world: World, move: Move, placeholder: Server) -> None:
    """From sealed to running: same disks, same boot, the next number."""
    boot, last = world.server.counts()[-1]
    move.complete()
    assert world.b.call("status", migration_id=move.id)["state"] == "restored"
    assert placeholder.counts() == []
    for disk, encrypted in (("volume", True), ("local", False)):
        ours, theirs = getattr(world.server, disk), getattr(placeholder, disk)
        assert placeholder.content(theirs, encrypted) == world.server.content(ours, encrypted)
    move.commit()
    first = until("the guest counts at B", placeholder.counts)[0]
    assert first[0] == boot
    assert last <= first[1] <= last + 2
    until("it goes on", lambda: placeholder.count() > first[1] + 2)


def test_the_guest_goes_on_at_b_where_it_stopped_at_a(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    move.send()
    move.stop_and_seal()
    looks = [agent.call("status", migration_id=move.id) for agent in (world.a, world.b)]
    for status in looks:
        assert status["bytes_done"] > 64 << 20
        assert status["error"] is None
    # Both tell the same; holes do not travel.
    assert looks[0]["bytes_sent"] == looks[1]["bytes_sent"] < looks[0]["bytes_done"] == looks[1]["bytes_done"]
    goes_on_at_b(world, move, placeholder)
    # Once more each, as after a lost answer.
    move.complete()
    world.b.call("resume", migration_id=move.id, server_id=placeholder.id)
    world.b.call("start_destination", migration_id=move.id, job=move.destination_job(placeholder))
    with pytest.raises(Conflict, match="runs here already"):
        world.b.call("abort", migration_id=move.id)


def test_a_paused_guest_arrives_as_it_is(world: World) -> None:
    world.server.domain.suspend()
    placeholder = world.hosts.placeholder()
    move = world.move()
    assert world.a.call("describe", server_id=world.server.id)["power"] == "paused"
    move.land(placeholder)
    move.send()
    move.until(world.a, "ready")
    world.a.call("stop_and_finish", migration_id=move.id)
    move.until(world.a, "sealed")
    goes_on_at_b(world, move, placeholder)


def test_a_cut_network_is_survived(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    middle = Middle(move.endpoint["port"])
    try:
        move.endpoint["port"] = middle.port
        middle.cut_after = 10 << 20
        move.send()
        move.until(world.a, "ready")
        middle.cut_after = middle.passed + (3 << 20)
        move.stop_and_seal()
        assert middle.connections > 2
        goes_on_at_b(world, move, placeholder)
    finally:
        middle.close()


def test_no_key_is_ever_seen_in_a_process(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    assert secrets_in_processes([EIK.hex(), world.keys[move.vmk_ref].hex()]) == []


def test_a_missing_secret_of_libvirt_is_made_from_the_key(world: World) -> None:
    placeholder = world.hosts.placeholder()
    placeholder.forget_secret()
    move = world.move()
    move.land(placeholder)
    move.send()
    move.stop_and_seal()
    goes_on_at_b(world, move, placeholder)


def test_a_placeholder_with_a_wrong_secret_does_not_start(world: World) -> None:
    """The EIK opened the disk, but what libvirt holds does not: nothing may be left half-way."""
    placeholder = world.hosts.placeholder()
    placeholder.connection.secretLookupByUUIDString(placeholder.secret_id).setValue(b"wrong")
    move = world.move()
    move.land(placeholder)
    move.send()
    move.until(world.a, "ready")
    world.server.domain.suspend()
    world.a.call("stop_and_finish", migration_id=move.id)
    assert move.error(world.a)["code"] == "given-up-by-peer"
    assert "password" in move.error(world.b)["message"]
    assert not placeholder.domain.isActive()


def test_a_second_attempt_succeeds_after_the_guest_has_run(world: World) -> None:
    first = world.move()
    first.land(world.hosts.placeholder())
    first.send()
    first.stop_and_seal()
    for agent in (world.a, world.b):
        agent.call("abort", migration_id=first.id)
        agent.call("abort", migration_id=first.id)
    with pytest.raises(Conflict, match="has not run since"):
        world.move()
    world.hosts.resume_guest()
    second, placeholder = world.move(), world.hosts.placeholder()
    second.land(placeholder)
    second.send()
    second.stop_and_seal()
    goes_on_at_b(world, second, placeholder)


def test_the_restored_guest_waits_until_it_is_released(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    move.send()
    move.stop_and_seal()
    move.complete()
    assert placeholder.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
    with pytest.raises(Conflict, match="lands in server"):
        world.b.call("resume", migration_id=move.id, server_id=world.server.id)
    assert placeholder.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED


def test_qemu_tells_the_network_where_the_guest_is_when_it_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes the order: what it told when the guest was loaded has fallen on a port that was down."""
    told: list[tuple[int, str, object]] = []

    def around(domain: libvirt.virDomain, name: str, **arguments: object) -> object:
        told.append((domain.state()[0], name, command(domain, name, **arguments)))
        return told[-1][-1]

    monkeypatch.setattr("sv2m.agent.libvirt.landing.command", around)
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    move.send()
    move.stop_and_seal()
    move.complete()
    assert told == []
    for _ in range(2):
        world.b.call("resume", migration_id=move.id, server_id=placeholder.id)
    assert told == [(libvirt.VIR_DOMAIN_RUNNING, "announce-self", {})]
