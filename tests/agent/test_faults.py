# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong before the commit, the guest runs at A again and nothing is left. The fixture looks."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from typing import Any

import libvirt
import pytest

from sv2m import errors
from sv2m.agent.libvirt.landing import LibvirtLanding
from sv2m.agent.libvirt.memory import MemoryPipe
from sv2m.agent.libvirt.source import LibvirtSource
from sv2m.protocol import plan
from sv2m.transfer.sender import Sender
from tests.agent.conftest import World
from tests.agent.hosts import Server
from tests.agent.leftovers import leftovers
from tests.agent.move import Move
from tests.unit.transfer.channel import Middle

SLOW = 4 << 20


def clean(world: World, move: Move, placeholder: Server) -> None:
    """Nothing of the migration at A or B; no domain at B."""
    states = [world.hosts.directory / f"{name}-agent" for name in "ab"]
    assert leftovers(world.server.domain, states) == []
    assert not placeholder.domain.isActive()


def to_connecting(move: Move, placeholder: Server) -> None:
    move.endpoint = {"host": "127.0.0.1", "port": 9}
    move.send()
    move.until(move.a, "connecting")


def to_precopy(move: Move, placeholder: Server) -> None:
    move.land(placeholder)
    move.send(rate_limit=SLOW)
    move.until(move.a, "precopy")
    move.until(move.b, "receiving")


def to_ready(move: Move, placeholder: Server) -> None:
    move.land(placeholder)
    move.send()
    move.until(move.a, "ready")


def to_finishing(move: Move, placeholder: Server) -> None:
    """In the middle of the memory: B does not read on."""
    move.land(placeholder)
    middle = Middle(move.endpoint["port"])
    move.endpoint["port"] = middle.port
    move.send()
    move.until(move.a, "ready")
    middle.hold_after = middle.passed + (8 << 20)
    move.server.domain.suspend()
    move.a.call("stop_and_finish", migration_id=move.id)
    middle.held.wait(60)


def to_sealed(move: Move, placeholder: Server) -> None:
    move.land(placeholder)
    move.send()
    move.stop_and_seal()


def to_restored(move: Move, placeholder: Server) -> None:
    to_sealed(move, placeholder)
    move.complete()


@pytest.mark.parametrize("reach", [to_connecting, to_precopy, to_ready, to_finishing, to_sealed, to_restored])
@pytest.mark.parametrize("first", ["a", "b"])
def test_an_abort_in_any_state_leaves_nothing(world: World, reach: Callable[[Move, Server], None], first: str) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    reach(move, placeholder)
    order = (world.a, world.b) if first == "a" else (world.b, world.a)
    for agent in order:
        agent.call("abort", migration_id=move.id)
    status = world.a.call("status", migration_id=move.id)
    assert status["state"] == "failed"
    assert status["error"]["code"] in ("aborted", "given-up-by-peer", "peer-unreachable")
    clean(world, move, placeholder)
    for agent in order:
        agent.call("forget", migration_id=move.id)
        assert agent.call("status", migration_id=move.id)["state"] == "unknown"


def test_an_abort_of_what_never_was_is_no_error(world: World) -> None:
    world.a.call("abort", migration_id="0a6b3fd8-9a6e-4c43-8f3f-0b2c8f6f7c11")


@pytest.mark.parametrize("when", ["disk", "memory"])
def test_a_changed_segment_undoes_b_and_leaves_a_resumable(world: World, when: str) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    middle = Middle(move.endpoint["port"])
    move.endpoint["port"] = middle.port
    flip = False

    def change(piece: bytes) -> bytes:
        # The hello must pass for the segment to be looked at: it is asked for again on other connections.
        return piece[:-1] + bytes([piece[-1] ^ 0x20]) if flip and len(piece) > 1000 else piece

    middle.change = change
    if when == "disk":
        flip = True
        move.send()
    else:
        move.send()
        move.until(world.a, "ready")
        world.server.domain.suspend()
        flip = True
        world.a.call("stop_and_finish", migration_id=move.id)
    assert move.error(world.b)["code"] == "integrity-error"
    assert move.error(world.a)["code"] == "given-up-by-peer"
    clean(world, move, placeholder)
    middle.close()


def test_disks_with_more_on_them_than_can_be_sent_are_refused_before_the_first_byte(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their size alone does not tell: QEMU is asked what of them is data."""
    monkeypatch.setattr(plan, "FIRST_PASS_SEGMENTS", 2)
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    middle = Middle(move.endpoint["port"])
    move.endpoint["port"] = middle.port
    move.send()
    assert move.error(world.a)["code"] == "too-much-data"
    assert middle.passed < 1000
    middle.close()
    world.b.call("abort", migration_id=move.id)
    clean(world, move, placeholder)


def test_a_cut_memory_stream_undoes_b(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that signs half a memory: every segment verifies, and QEMU does not take it."""
    whole = LibvirtSource.memory

    class Half:
        def __init__(self, stream: MemoryPipe) -> None:
            self._stream, self._left = stream, 12 << 20

        def read_into(self, buffer: memoryview) -> int:
            if not self._left:
                while self._stream.read_into(buffer):
                    continue
                return 0
            count = self._stream.read_into(buffer[: self._left])
            self._left -= count
            return count

        def finish(self) -> None:
            self._stream.finish()

    monkeypatch.setattr(LibvirtSource, "memory", lambda source: Half(whole(source)))
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_sealed(move, placeholder)
    with pytest.raises(errors.HypervisorError, match="restore"):
        move.complete()
    assert move.error(world.b)["code"] == "hypervisor-error"
    world.a.call("abort", migration_id=move.id)
    clean(world, move, placeholder)


def test_a_restore_that_is_given_up_before_its_first_byte_ends_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU has been started, and waits for memory: nothing but a byte wakes it, and nobody destroys it."""
    begun: list[LibvirtLanding] = []

    def full(landing: LibvirtLanding, data: memoryview) -> None:
        domain = landing._domain
        while not domain.isActive():
            time.sleep(0.05)
        begun.append(landing)
        raise errors.HypervisorError("no byte of it is written")

    monkeypatch.setattr(LibvirtLanding, "write_memory", full)
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_ready(move, placeholder)
    world.server.domain.suspend()
    world.a.call("stop_and_finish", migration_id=move.id)
    assert move.error(world.b)["message"] == "no byte of it is written"
    assert begun
    clean(world, move, placeholder)


class Foreign:
    """A memory stream of a source that is no honest one: so much of QEMU's own, then something else.

    What is left of QEMU's is read and thrown away, so that A's guest ends its part as ever.
    """

    def __init__(self, stream: MemoryPipe, honest: int, other: bytes) -> None:
        self._stream, self._honest, self._other = stream, honest, memoryview(other)

    def read_into(self, buffer: memoryview) -> int:
        if self._honest:
            count = self._stream.read_into(buffer[: self._honest])
            self._honest -= count
            return count
        count = min(len(buffer), len(self._other))
        buffer[:count] = self._other[:count]
        self._other = self._other[count:]
        while not count and self._stream.read_into(buffer):
            continue
        return count

    def finish(self) -> None:
        self._stream.finish()


def sends(monkeypatch: pytest.MonkeyPatch, honest: int, other: bytes) -> None:
    """A seals and signs this, as if it were its guest's memory."""
    whole = LibvirtSource.memory
    monkeypatch.setattr(LibvirtSource, "memory", lambda source: Foreign(whole(source), honest, other))


def named(machine: bytes) -> bytes:
    """QEMU_VM_FILE_MAGIC and the version that it takes, and the guest of a machine of that name."""
    return b"QEVM\0\0\0\3\7" + len(machine).to_bytes(4, "big") + machine + b"\xee" * (12 << 20)


@pytest.mark.parametrize(
    ("honest", "other"),
    [
        pytest.param(0, os.urandom(12 << 20), id="noise"),
        # QEMU_VM_FILE_MAGIC and the version that it takes, then sections of no type.
        pytest.param(0, b"QEVM\0\0\0\3" + b"\xee" * (12 << 20), id="begins-as-qemus"),
        pytest.param(8 << 20, os.urandom(12 << 20), id="goes-on-as-noise"),
        # A QEMU_VM_CONFIGURATION: QEMU's message quotes the machine's name, and libvirt hands the message on.
        pytest.param(0, named(b"\x81\xfe\xff"), id="quoted-and-no-text"),
        pytest.param(0, named(b"\x1b]0;mine\x07\r\nERROR all is well"), id="quoted-and-means-the-terminal"),
    ],
)
def test_a_memory_stream_that_is_not_qemus_undoes_b(
    world: World, monkeypatch: pytest.MonkeyPatch, honest: int, other: bytes
) -> None:
    """Every segment verifies; it is B's QEMU that finds out, while they come, and B gives up."""
    sends(monkeypatch, honest, other)
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_ready(move, placeholder)
    world.server.domain.suspend()
    world.a.call("stop_and_finish", migration_id=move.id)
    message = move.error(world.b)["message"]
    assert "the restore ended early" in message and "as complete" not in message
    # Nothing of what A wrote gives orders to the terminal of whoever reads B's log.
    assert message.isprintable()
    assert move.error(world.a)["code"] == "given-up-by-peer"
    clean(world, move, placeholder)
    with pytest.raises(errors.HypervisorError, match="undone"):
        world.b.call("check_restored", migration_id=move.id, server_id=placeholder.id)


def test_a_memory_stream_that_is_none_undoes_b_when_it_is_complete(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So short that all of it is on its way before QEMU looks: there is no Prepared for it."""
    sends(monkeypatch, 0, b"QEVM")
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_sealed(move, placeholder)
    with pytest.raises(errors.HypervisorError, match="restore"):
        move.complete()
    move.until(world.b, "failed")
    world.a.call("abort", migration_id=move.id)
    clean(world, move, placeholder)


def _other_digest(sealed: dict[str, Any]) -> None:
    text = base64.b64decode(sealed["manifest_b64"]).decode()
    start = text.index("<ds:DigestValue>") + len("<ds:DigestValue>")
    changed = text[:start] + ("B" if text[start] == "A" else "A") + text[start + 1 :]
    sealed["manifest_b64"] = base64.b64encode(changed.encode()).decode()


def _one_less(sealed: dict[str, Any]) -> None:
    text = base64.b64decode(sealed["manifest_b64"]).decode()
    cut = text[: text.rindex("<ds:Reference ")] + "</ds:Manifest>"
    sealed["manifest_b64"] = base64.b64encode(cut.encode()).decode()


def _other_length(sealed: dict[str, Any]) -> None:
    sealed["streams"][0]["length"] += 1


def _junk(sealed: dict[str, Any]) -> None:
    sealed["manifest_b64"] = base64.b64encode(b"<ds:Manifest/>").decode()


@pytest.mark.parametrize("change", [_other_digest, _one_less, _other_length, _junk])
def test_a_manifest_that_does_not_match_undoes_b(world: World, change: Callable[[dict[str, Any]], None]) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_sealed(move, placeholder)
    sealed = world.a.call("manifest", migration_id=move.id)
    change(sealed)
    with pytest.raises(errors.PeerError):
        world.b.call("complete", migration_id=move.id, **sealed)
    move.until(world.b, "failed")
    world.a.call("abort", migration_id=move.id)
    clean(world, move, placeholder)
    with pytest.raises(errors.HypervisorError, match="undone"):
        world.b.call("check_restored", migration_id=move.id, server_id=placeholder.id)


def test_a_destination_that_dies_is_given_up_and_the_guest_goes_on(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_precopy(move, placeholder)
    world.b.stop()
    error = move.error(world.a)
    assert error["code"] in ("peer-unreachable", "given-up-by-peer")
    clean(world, move, placeholder)


def test_a_source_that_never_finishes_is_given_up(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder, lifetime=1)
    assert move.error(world.b)["code"] == "expired"
    clean(world, move, placeholder)


def test_a_guest_that_ran_after_it_was_sealed_is_noticed(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_sealed(move, placeholder)
    world.a.call("check_unchanged", migration_id=move.id)
    world.server.domain.resume()
    world.server.domain.suspend()
    with pytest.raises(errors.Conflict, match="run"):
        world.a.call("check_unchanged", migration_id=move.id)


def test_a_guest_that_is_not_paused_is_not_sealed(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_ready(move, placeholder)
    world.a.call("stop_and_finish", migration_id=move.id)
    assert "was to be paused" in move.error(world.a)["message"]
    world.b.call("abort", migration_id=move.id)
    clean(world, move, placeholder)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"vcpus": 2}, "vCPUs: 2"),
        ({"memory_mb": 128}, "memory"),
        ({"machine": "pc-q35-7.1"}, "machine type"),
        ({"cpu": {"mode": "custom", "model": "Nehalem"}}, "Nehalem"),
        ({"virt_type": "kvm"}, "virtualisation"),
        ({"devices": []}, "memballoon:virtio, rng:virtio"),
        ({"nics": []}, "network interfaces"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_placeholder_that_differs_is_refused(world: World, change: dict[str, Any], word: str) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.needs |= change
    with pytest.raises(errors.Conflict, match="does not fit") as caught:
        move.land(placeholder)
    assert word in str(caught.value)
    assert caught.value.code == "placeholder-differs"
    assert placeholder.domain.hasManagedSaveImage(0)


def test_a_volume_that_is_too_small_is_refused(world: World) -> None:
    placeholder = world.hosts.placeholder(size=32 << 20)
    move = world.move()
    with pytest.raises(errors.Conflict, match="the volume at the destination has"):
        move.land(placeholder)
    clean(world, move, placeholder)


def test_an_eik_that_is_not_the_one_of_libvirt_ends_before_the_commit(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    world.keys[move.eik_ref] = bytes(32)
    to_ready(move, placeholder)
    world.server.domain.suspend()
    world.a.call("stop_and_finish", migration_id=move.id)
    assert "password" in move.error(world.b)["message"]
    assert move.error(world.a)["code"] == "given-up-by-peer"
    clean(world, move, placeholder)


def test_a_placeholder_that_runs_is_refused(world: World) -> None:
    placeholder = world.hosts.placeholder()
    placeholder.domain.create()
    move = world.move()
    with pytest.raises(errors.Conflict, match="not suspended"):
        move.land(placeholder)
    assert placeholder.domain.isActive()


def test_a_guest_that_cannot_arrive_in_time_is_not_stopped(world: World) -> None:
    """The rate is known after the first round, and so is that the memory would take too long."""
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    move.send(rate_limit=SLOW, downtime=1)
    error = move.error(world.a)
    assert error["code"] == "cannot-finish-in-time"
    assert "MiB of memory" in error["message"]
    assert world.server.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    world.b.call("abort", migration_id=move.id)
    clean(world, move, placeholder)


def test_the_brake_is_off_in_the_stop_and_not_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[str] = []
    release = Sender.release_brake

    def released(sender: Sender) -> None:
        states.append(world.a.call("status", migration_id=move.id)["state"])
        release(sender)

    monkeypatch.setattr(Sender, "release_brake", released)
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    move.send(rate_limit=SLOW, downtime=600)
    move.until(world.a, "ready")
    assert world.a.call("may_stop", migration_id=move.id) == {"may_stop": True}
    assert states == []
    move.stop_and_seal()
    assert states == ["finishing"]
