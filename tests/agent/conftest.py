# SPDX-License-Identifier: Apache-2.0
"""Two hosts, a guest at A, an agent on each.

The guest is booted once; whatever a test does, it runs again after it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import pytest

from lab.cloud import Lab
from lab.guest import image
from tests.agent.agents import AgentHere, AgentProcess
from tests.agent.hosts import LibvirtHost, Server, until
from tests.agent.leftovers import leftovers
from tests.agent.move import Move

#: The kernel and the guest's image are kept here between runs, together with those of the tests on two
#: clouds.
CACHE = os.environ.get("SV2M_TEST_LAB_DIR", "/var/tmp/sv2m-test")
EIK = bytes(range(32))
LOCAL_SIZE = 24 << 20


@dataclass
class Hosts:
    """Both hosts, the guest, and how to make a placeholder and a migration."""

    a: LibvirtHost
    b: LibvirtHost
    server: Server
    base: Path
    directory: Path
    eik: bytes = EIK
    placeholders: list[Server] = field(default_factory=list)

    def placeholder(self, eik: bytes | None = None, size: int = image.SIZE, **options: Any) -> Server:
        """As Nova leaves one: booted from blank disks, suspended."""
        made = Server(self.b, self.eik if eik is None else eik, LOCAL_SIZE, **options)
        made.make(None, size)
        self.placeholders.append(made)
        made.domain.create()
        made.domain.managedSave(0)
        return made

    def resume_guest(self) -> None:
        """As Nova's unpause, when the guest is paused."""
        if self.server.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            self.server.domain.resume()
        before = self.server.count()
        until("the guest counts at A", lambda: self.server.count() > before)


@contextmanager
def two_hosts(eik: bytes = EIK) -> Iterator[Hosts]:
    """Both hosts, and a guest that counts at A; its volume is encrypted under this key."""
    lab = Lab.load(CACHE)
    image.prepare(lab)
    # A short path: those of libvirt's sockets may have 107 characters.
    directory = Path(tempfile.mkdtemp(prefix="sv2m-", dir="/var/tmp"))
    a, b = LibvirtHost(directory / "a"), LibvirtHost(directory / "b")
    base = directory / "base.raw"
    base.write_bytes(b"shared" + bytes(4090) + os.urandom(3 << 20) + bytes(LOCAL_SIZE - (3 << 20) - 4096))
    try:
        a.start()
        b.start()
        server = Server(a, eik, LOCAL_SIZE)
        server.make(image.default_image(lab), image.SIZE, base)
        server.domain.create()
        until("the guest counts", lambda: server.count() > 2, 180)
        yield Hosts(a, b, server, base, directory, eik)
    finally:
        for host in (a, b):
            host.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="package")
def hosts() -> Iterator[Hosts]:
    # For the tests of this folder: those on two clouds, which come later, need the machine.
    with two_hosts() as made:
        yield made


@dataclass
class World:
    """What a test gets: hosts, agents, the key managers' content."""

    hosts: Hosts
    a: Any
    b: Any
    keys: dict[str, bytes]

    @property
    def server(self) -> Server:
        return self.hosts.server

    @property
    def states(self) -> list[Path]:
        """The agents' state directories."""
        return [self.hosts.directory / f"{name}-agent" for name in "ab"]

    def move(self) -> Move:
        return Move(self.a, self.b, self.keys, self.hosts.server, self.hosts.eik)


@contextmanager
def world_between(hosts: Hosts, kind: type[AgentHere] | type[AgentProcess]) -> Iterator[World]:
    """After the test nothing is left of it, and the guest runs at A."""
    keys: dict[str, bytes] = {}
    moves: list[str] = []
    made = World(hosts, None, None, keys)
    made.a, made.b = (kind(host.uri, state, keys) for host, state in zip((hosts.a, hosts.b), made.states, strict=True))
    move = made.move

    def remembered() -> Move:
        moves.append((new := move()).id)
        return new

    made.move = remembered  # type: ignore[method-assign]
    made.a.start()
    made.b.start()
    try:
        yield made
    finally:
        for migration_id in moves:
            for agent in (made.a, made.b):
                if agent.call("status", migration_id=migration_id)["state"] != "running":
                    agent.call("abort", migration_id=migration_id)
                agent.call("forget", migration_id=migration_id)
        made.a.stop()
        made.b.stop()
        for placeholder in hosts.placeholders:
            placeholder.remove()
        hosts.placeholders.clear()
        hosts.resume_guest()
    assert leftovers(hosts.server.domain, made.states) == []


@pytest.fixture
def world(hosts: Hosts) -> Iterator[World]:
    """Agents in this process."""
    with world_between(hosts, AgentHere) as made:
        yield made


@pytest.fixture
def killable(hosts: Hosts) -> Iterator[World]:
    """Agents in processes of their own."""
    with world_between(hosts, AgentProcess) as made:
        yield made
