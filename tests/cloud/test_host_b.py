# SPDX-License-Identifier: Apache-2.0
"""B's host while a server arrives: nobody else reads what is there of it, and no core with a key can be written."""

from __future__ import annotations

import contextlib
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import namespace
from lab.guests import until
from tests.cloud.world import Side, World
from tests.faults.hold import Hold, arm
from tests.faults.matrix import ENTERED

_PROGRAMS = ("sv2m-engine", "sv2m-agent", "sv2m-gateway", "sv2m-api")


@pytest.mark.parametrize(("name", "volume_type"), [("private-volume", "luks"), ("private-disk", None)])
def test_nobody_else_on_bs_host_sees_the_server_that_arrives(
    world: World, name: str, volume_type: str | None
) -> None:
    server = world.a.manager.boot(name, volume_type=volume_type)
    # B has its disks open and waits for their content; then all has come, its memory is in B's QEMU.
    empty = Hold(world.a, "source", "transferring", ENTERED, name, "empty")
    full = Hold(world.b, "destination", "verifying", ENTERED, name, "full")
    holds = (empty, full)
    for hold in holds:
        hold.take()
    for side in (world.a, world.b):
        arm(side, holds)
    try:
        migration = world.request(world.a, server)
        until(lambda: empty.waiting() or None, "B waits for the server's data", pause=0.05)
        landed = world.reaches(world.b, migration, "receiving")["server_id"]
        assert world.b.running("qemu-nbd"), "the disks are open"
        _nobody_else_reads(world.b, landed)
        _no_core_can_be_written(world)
        empty.let_go()
        until(lambda: full.waiting() or None, "all of it is at B", pause=0.05)
        assert _open_at(world.b, landed, stat.S_ISFIFO), "its memory comes through a FIFO"
        assert world.b.running("qemu-system-x86"), "there is a QEMU that takes it"
        _nobody_else_reads(world.b, landed)
    finally:
        for hold in holds:
            hold.let_go()
        for side in (world.a, world.b):
            arm(side, [])
    assert world.finished(world.a, migration)["status"] == "completed"
    for side in (world.a, world.b):
        world.closed(side, migration)
    _nobody_else_reads(world.b, landed)


def _nobody_else_reads(side: Side, server: str) -> None:
    """Its disks, whatever a program has open of it, and libvirt's directory of saved servers.

    Nova and Cinder make files that everybody may read; it is the directories above, an operator's, that keep others
    out (see doc/installing.md; the lab's are as they should be). SV2M's own part is that it makes no other file.
    """
    disks = _disks(side, server)
    assert disks, "the domain has disks"
    instance = _seen(side, side.session.cloud.console_directory / server)
    theirs = [*disks, instance, *instance.iterdir(), *_open_at(side, server, lambda mode: True)]
    assert [str(path) for path in theirs if _open_to_others(side, path)] == []
    saved = _seen(side, Path("/var/lib/libvirt/qemu/save"))
    assert list(saved.iterdir()) == [], "its memory is in no file, not even that of the blank guest before"


def _seen(side: Side, path: Path) -> Path:
    """A path of the cloud's own file system, as root outside reaches it."""
    return Path(f"/proc/{namespace.anchor(side.session.cloud).pid}/root") / str(path).lstrip("/")


def _disks(side: Side, server: str) -> list[Path]:
    xml = side.session.run(["virsh", "dumpxml", server]).stdout
    return [_seen(side, Path(found)) for found in re.findall(r"<source (?:file|dev)='([^']+)'", xml)]


def _open_at(side: Side, server: str, kind: Callable[[int], bool]) -> set[Path]:
    """Files of one kind, below the cloud's directory, that its agent, qemu-nbd or QEMU have open: all but logs."""
    cloud = side.session.cloud
    programs = {str(process.pid) for process in side.processes("sv2m-agent")}
    for program in ("qemu-nbd", "qemu-system-x86"):
        programs |= side.running(program)
    found = set()
    for descriptor in (one for pid in programs for one in Path(f"/proc/{pid}/fd").glob("*")):
        with contextlib.suppress(OSError):
            path, mode = descriptor.readlink(), descriptor.stat().st_mode
            if path.is_relative_to(cloud.directory) and not path.is_relative_to(cloud.log) and kind(mode):
                found.add(_seen(side, path))
    return found


def _open_to_others(side: Side, path: Path) -> bool:
    """Whether somebody who is neither its owner nor of its group reads or writes it."""
    if not path.lstat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        return False
    top = _seen(side, Path("/"))
    above = [one for one in path.parents if one.is_relative_to(top)]
    return all(one.stat().st_mode & stat.S_IXOTH for one in above)


def _no_core_can_be_written(world: World) -> None:
    """Of any program of SV2M's on either side, nor of qemu-nbd, which has the disk's key."""
    running = {f"{name} {process.pid}": process.pid for side in (world.a, world.b) for name in _PROGRAMS
               for process in side.processes(name)}  # fmt: skip
    assert len(running) == 16, "each program and its worker"
    running |= {f"qemu-nbd {pid}": int(pid) for pid in world.b.running("qemu-nbd")}
    limits = {name: re.split(r"  +", _core_limit(pid)) for name, pid in running.items()}
    assert {name: limit for name, limit in limits.items() if limit[1:3] != ["0", "0"]} == {}


def _core_limit(pid: int) -> str:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max core file size"))
