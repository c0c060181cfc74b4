# SPDX-License-Identifier: Apache-2.0
"""Whatever a job makes on a host is the agent's alone, under whatever umask the agent was started."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from sv2m.agent.libvirt.memory import MemoryPipe
from tests.agent.conftest import World


@pytest.fixture
def careless() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_files_sockets_and_fifos_of_a_job_are_the_agents_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, careless: None
) -> None:
    seen: set[str] = set()
    wrong: dict[str, str] = {}

    def look() -> None:
        for state in world.states:
            for path in state.rglob("*"):
                try:
                    mode = path.lstat().st_mode
                except FileNotFoundError:
                    continue
                seen.add(path.name)
                if stat.S_IMODE(mode) != (0o700 if stat.S_ISDIR(mode) else 0o600):
                    wrong[path.name] = oct(mode)

    def watched(pipe: MemoryPipe, buffer: memoryview) -> Any:
        look()
        return read_into(pipe, buffer)

    read_into = MemoryPipe.read_into
    monkeypatch.setattr(MemoryPipe, "read_into", watched)
    placeholder = world.hosts.placeholder()
    move = world.move()
    move.land(placeholder)
    look()
    move.send()
    move.until(world.a, "ready")
    look()
    move.stop_and_seal()
    move.complete()
    look()
    assert {"qemu-parameters", "domain.json", "restore.fifo", "disk-0.sock", f"{move.id}.json"} <= seen
    assert wrong == {}
