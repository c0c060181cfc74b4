# SPDX-License-Identifier: Apache-2.0
"""A guest goes from one host to the other through real libvirt and QEMU: no key is seen on the way, nor the guest."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.agent.agents import AgentHere
from tests.agent.conftest import Hosts, two_hosts, world_between
from tests.agent.hosts import until
from tests.canary import clouds as canaries
from tests.canary.conftest import Heard
from tests.canary.search import Search, files, processes
from tests.canary.watch import Watch
from tests.unit.transfer.channel import Middle

#: Where libvirt itself keeps what Nova (here: the test) gave it.
_LIBVIRTS_OWN = "/config/libvirt/secrets/"


class Tap(Middle):
    """Keeps everything that passes, either way."""

    def __init__(self, port: int) -> None:
        self.seen = bytearray()
        super().__init__(port)
        self.change = self._keep

    def _keep(self, piece: bytes) -> bytes:
        self.seen += piece
        return piece

    def _relay(self, source: socket.socket, target: socket.socket, onward: bool) -> None:
        # Both ways are changed: by keeping what passes.
        super()._relay(source, target, True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with two_hosts(canaries.EIK) as made:
        yield made


def test_nothing_is_seen_between_two_hosts(hosts: Hosts, search: Search, heard: Heard) -> None:
    with world_between(hosts, AgentHere) as world:
        placeholder = hosts.placeholder()
        move = world.move()
        world.keys[move.vmk_ref] = canaries.VMK
        with Watch(
            lambda: [*processes(hosts.directory), *(one for state in world.states for one in files(state))]
        ) as watch:
            move.land(placeholder)
            tap = Tap(move.endpoint["port"])
            try:
                move.endpoint["port"] = tap.port
                move.send()
                move.stop_and_seal()
                move.complete()
                move.commit()
                until("the guest counts at B", placeholder.counts)
            finally:
                tap.close()
        written = list(files(hosts.directory, largest=1 << 30, leave_out=[_LIBVIRTS_OWN]))
        assert any(str(hosts.b.directory) in where for where, _ in written)
        commands = b"\n".join(content for _, content in watch.seen)
        assert b"qemu-nbd" in commands and b"qemu-system" in commands, "the watch saw the programs that get keys"
        assert search.within([*heard.places(), *watch.seen, *written, ("the wire", bytes(tap.seen))]) == []
        # The wire carried the guest's disk and memory, and nothing of either can be recognised.
        assert len(tap.seen) > 64 << 20
        content = hosts.base.read_bytes()[4096 : 4096 + 4096]
        guest = Search({"the guest's disk": content[:64], "the guest's memory": b"sv2m-guest boot="})
        assert guest.within([("the disk at A", content)]), "the search knows what to look for"
        assert guest.within([("the wire", bytes(tap.seen))]) == []
