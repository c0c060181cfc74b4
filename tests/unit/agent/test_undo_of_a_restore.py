# SPDX-License-Identifier: Apache-2.0
"""Undoing in the middle of a restore: libvirt crashes when a domain is destroyed while it restores it.

With real libvirt that is a matter of luck; here it is none.
"""

from __future__ import annotations

import json
import os
import select
import threading
from pathlib import Path
from typing import Any

import libvirt
import pytest

from sv2m.agent.libvirt import saveimage
from sv2m.agent.libvirt.landing import LibvirtLanding
from sv2m.errors import HypervisorError

SERVER = "5b0e7a4f-3a6c-4d92-9a4e-3f2f8f4c9d10"


HEADER = saveimage.header("")


class Libvirt:
    """Reads the FIFO to its end, takes a while with QEMU then, and crashes as libvirt 9.0 does.

    As with QEMU, a stream that ends behind the header, without one byte, never wakes it.
    """

    def __init__(self) -> None:
        self.active = self.restoring = self.crashed = self.hangs = False
        self.destroyed = 0
        self.begun = threading.Event()
        self._never = threading.Event()

    def handle(self) -> Libvirt:
        return self

    def domain(self, server_id: str) -> Libvirt:
        return self

    def restoreFlags(self, path: str, xml: None, flags: int) -> None:
        self.active = self.restoring = True
        stream = os.open(path, os.O_RDONLY)
        self.begun.set()
        os.read(stream, len(HEADER))
        self._read_to_the_end(stream)
        os.close(stream)
        # QEMU ends some looks after its stream.
        self._never.wait(0.3)
        while self.hangs:
            self._never.wait(0.02)
        self.restoring = False

    def _read_to_the_end(self, stream: int) -> None:
        waits = select.poll()
        waits.register(stream, select.POLLIN)
        woken = False
        while True:
            ((_, events),) = waits.poll()
            if events & select.POLLIN:
                woken |= bool(os.read(stream, 1 << 16))
            elif woken:
                return
            else:
                # Hung up, and nothing to read: QEMU is not told, and sleeps on.
                self._never.wait(0.02)

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


def landing(host: Any, workdir: Path, timeout: float = 60) -> LibvirtLanding:
    (workdir / "domain.json").write_text(json.dumps({"taken": True}))
    return LibvirtLanding(host, SERVER, workdir, timeout)


@pytest.mark.parametrize("memory", [b"half a memory", b""], ids=["in the middle", "before its first byte"])
def test_the_domain_is_destroyed_when_its_restore_has_ended(host: Libvirt, tmp_path: Path, memory: bytes) -> None:
    mine = landing(host, tmp_path)
    mine.start_restore()
    mine.write_memory(memoryview(memory))
    mine.undo()
    assert (host.active, host.destroyed, host.crashed) == (False, 1, False)
    assert not (tmp_path / "restore.fifo").exists()


@pytest.mark.parametrize("memory", [b"half a memory", b""], ids=["in the middle", "before its first byte"])
def test_so_it_is_by_the_successor_of_an_agent_that_was_killed(host: Libvirt, tmp_path: Path, memory: bytes) -> None:
    fifo = tmp_path / "restore.fifo"
    landing(host, tmp_path)._fifo.make()
    restore = threading.Thread(target=host.restoreFlags, args=(str(fifo), None, 0), daemon=True)
    restore.start()
    with fifo.open("wb", buffering=0) as killed:
        assert host.begun.wait(60)
        killed.write(HEADER + memory)
    landing(host, tmp_path).undo()
    restore.join(60)
    assert (host.active, host.destroyed, host.crashed) == (False, 1, False)


def test_a_restore_that_does_not_end_is_left_alone_and_undone_when_it_has(host: Libvirt, tmp_path: Path) -> None:
    host.hangs = True
    mine = landing(host, tmp_path, 0.5)
    mine.start_restore()
    mine.write_memory(memoryview(b"half a memory"))
    with pytest.raises(HypervisorError, match="libvirt does not end it") as caught:
        mine.undo()
    assert caught.value.code == "restore-does-not-end"
    assert (host.active, host.destroyed, host.crashed) == (True, 0, False)
    host.hangs = False
    mine.undo()
    assert (host.active, host.destroyed, host.crashed) == (False, 1, False)
