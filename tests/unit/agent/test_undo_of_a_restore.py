# SPDX-License-Identifier: Apache-2.0
"""Undoing in the middle of a restore: libvirt crashes when a domain is destroyed while it restores it.

With real libvirt that is a matter of luck; here it is none.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import libvirt
import pytest

from sv2m.agent.libvirt.landing import LibvirtLanding

SERVER = "5b0e7a4f-3a6c-4d92-9a4e-3f2f8f4c9d10"


class Libvirt:
    """Reads the FIFO to its end, takes a while with QEMU then, and crashes as libvirt 9.0 does."""

    def __init__(self) -> None:
        self.active = self.restoring = self.crashed = False
        self.destroyed = 0
        self.begun = threading.Event()
        self._asked = 0
        self._qemu = threading.Event()

    def handle(self) -> Libvirt:
        return self

    def domain(self, server_id: str) -> Libvirt:
        # QEMU ends some looks after its stream.
        self._asked += 1
        if self._asked > 3:
            self._qemu.set()
        return self

    def restoreFlags(self, path: str, xml: None, flags: int) -> None:
        self.active = self.restoring = True
        with open(path, "rb") as stream:
            self.begun.set()
            while stream.read(1 << 16):
                continue
        self._qemu.wait(60)
        self.restoring = False

    def isActive(self) -> bool:
        return self.active

    def state(self) -> list[int]:
        starting, restored = libvirt.VIR_DOMAIN_PAUSED_STARTING_UP, libvirt.VIR_DOMAIN_PAUSED_MIGRATION
        return [libvirt.VIR_DOMAIN_PAUSED, starting if self.restoring else restored]

    def destroy(self) -> None:
        self.crashed |= self.restoring
        self.active = False
        self.destroyed += 1


@pytest.fixture
def host() -> Libvirt:
    return Libvirt()


def landing(host: Any, workdir: Path) -> LibvirtLanding:
    (workdir / "domain.json").write_text(json.dumps({"taken": True}))
    return LibvirtLanding(host, SERVER, workdir, 60)


def test_the_domain_is_destroyed_when_its_restore_has_ended(host: Libvirt, tmp_path: Path) -> None:
    mine = landing(host, tmp_path)
    mine.start_restore()
    mine.write_memory(memoryview(b"half a memory"))
    mine.undo()
    assert (host.active, host.destroyed, host.crashed) == (False, 1, False)
    assert not (tmp_path / "restore.fifo").exists()


def test_so_it_is_by_the_successor_of_an_agent_that_was_killed(host: Libvirt, tmp_path: Path) -> None:
    fifo = tmp_path / "restore.fifo"
    landing(host, tmp_path)._fifo.make()
    restore = threading.Thread(target=host.restoreFlags, args=(str(fifo), None, 0))
    restore.start()
    with fifo.open("wb") as killed:
        assert host.begun.wait(60)
        killed.write(b"half a memory")
    landing(host, tmp_path).undo()
    restore.join(60)
    assert (host.active, host.destroyed, host.crashed) == (False, 1, False)
