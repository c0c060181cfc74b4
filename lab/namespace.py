# SPDX-License-Identifier: Apache-2.0
"""A room's own mount, network and UTS namespace, and who lives in it.

Nothing is pinned by name: the namespaces live as long as a process is in them. The first one is the anchor,
which only sleeps. Whatever a service leaves behind (guests, privileged helpers, daemons that detached) is
still found, by the room's marker among its mounts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab.cloud import PEER_ADDRESS, TTP_LINK, Cloud, Lab, Room
from lab.process import Process, Record, spawn

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
#: What libvirt keeps in fixed places, and where a cloud's own copy is, below its directory.
_LIBVIRT = {
    "/run/libvirt": "libvirt/run",
    "/var/lib/libvirt": "libvirt/lib",
    "/etc/libvirt": "libvirt/etc",
    "/var/cache/libvirt": "libvirt/cache",
    "/var/log/libvirt": "libvirt/log",
}


class NotRunningError(Exception):
    """The room has no namespaces: the lab is down."""


def anchor(room: Room) -> Process:
    """The process that keeps the room's namespaces; NotRunningError when there is none."""
    process = Record(room.run / "anchor.json").running()
    if process is None:
        raise NotRunningError(f"{room.name} is not running; start it with `python -m lab up`")
    return process


def create(room: Room) -> None:
    """Make the room's namespaces, with its own /run, and /etc and /usr/sbin that it may change for itself."""
    for directory in (room.run, room.log, room.etc, room.directory / "ns"):
        directory.mkdir(parents=True, exist_ok=True)
    private = room.directory / "ns"
    script = f"mount -t tmpfs -o mode=755 {room.marker} {shlex.quote(str(private))} && exec sleep infinity"
    spawn(
        ["unshare", "--mount", "--net", "--uts", "--propagation", "private", "sh", "-c", script],
        Record(room.run / "anchor.json"),
        room.log / "namespace.out",
        {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        room.directory,
    )
    _await_marker(room)
    (room.etc / "hosts").write_text(room.hosts())
    run(room, ["sh", "-e", "-c", "\n".join(_setup(room, private))], timeout=60)


def _await_marker(room: Room) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if room.marker in Path(f"/proc/{anchor(room).pid}/mountinfo").read_text():
            return
        time.sleep(0.02)
    raise NotRunningError(f"no namespaces for {room.name}; see {room.log / 'namespace.out'}")


def _setup(room: Room, private: Path) -> Iterator[str]:
    """Commands, run inside. Changes of system directories are in memory and go with it."""
    yield f"hostname {room.hostname}"
    yield "ip link set lo up"
    for system in ("/etc", "/usr/sbin"):
        own = shlex.quote(str(private / system.replace("/", "_")))
        yield f"mkdir {own} {own}.work"
        yield f"mount -t overlay overlay -o lowerdir={system},upperdir={own},workdir={own}.work {system}"
    yield f"cp {shlex.quote(str(room.etc / 'hosts'))} /etc/hosts"
    yield "mount -t tmpfs -o mode=755 tmpfs /run"
    yield "mkdir -p /run/lock"
    if isinstance(room, Cloud):
        # Nova asks /sys/class/net which interfaces there are; the one inherited shows another network's.
        yield f"mkdir {shlex.quote(str(private))}/cgroup"
        yield f"mount --rbind /sys/fs/cgroup {shlex.quote(str(private))}/cgroup"
        yield "mount -t sysfs sysfs /sys"
        yield f"mount --move {shlex.quote(str(private))}/cgroup /sys/fs/cgroup"
        for place, own in {**_LIBVIRT, "/etc/barbican": "etc/barbican"}.items():
            source = shlex.quote(str(room.directory / own))
            yield f"mkdir -p {source} {place}"
            yield f"mount --bind {source} {place}"
        stub = Path(__file__).with_name("mount.nfs")
        yield f"install -m 755 {shlex.quote(str(stub))} /usr/sbin/mount.nfs"


def connect(lab: Lab) -> None:
    """Lay the cables: cloud to cloud, and each cloud to the trusted third party. They go with them."""
    pids = {room.name: anchor(room).pid for room in (*lab.clouds.values(), lab.ttp)}
    _cable(pids, ("a", "peer0", PEER_ADDRESS["a"]), ("b", "peer0", PEER_ADDRESS["b"]))
    for name, (ttp, cloud) in TTP_LINK.items():
        _cable(pids, ("ttp", f"cloud-{name}", ttp), (name, "ttp0", cloud))


def _cable(pids: Mapping[str, int], one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """A veth pair made inside the two namespaces, so that its names never exist anywhere else."""
    command = ["ip", "link", "add", one[1], "netns", str(pids[one[0]]), "type", "veth"]
    subprocess.run([*command, "peer", "name", other[1], "netns", str(pids[other[0]])], check=True)
    for room, device, address in (one, other):
        enter = ["nsenter", "-t", str(pids[room]), "-n", "ip"]
        subprocess.run([*enter, "addr", "add", f"{address}/30", "dev", device], check=True)
        subprocess.run([*enter, "link", "set", device, "up"], check=True)


def inside(room: Room, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` in the room's namespaces. nsenter keeps the pid."""
    return ["nsenter", "-t", str(anchor(room).pid), "-m", "-n", "-u", "--", *command]


def run(
    room: Room,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    input: str | None = None,
    timeout: float = 600,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command in the room and wait for it, at most `timeout` seconds.

    Raises:
        CommandFailedError: it ended with an error, and `check` is true
        subprocess.TimeoutExpired: it took longer
    """
    result = subprocess.run(
        inside(room, command),
        env=dict(environment) if environment is not None else {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and result.returncode:
        raise CommandFailedError(command, result)
    return result


class CommandFailedError(Exception):
    """A command in a room ended with an error; the message holds the end of what it said."""

    def __init__(self, command: Sequence[str], result: subprocess.CompletedProcess[str]) -> None:
        said = (result.stderr.strip() or result.stdout.strip())[-1500:]
        super().__init__(f"{' '.join(command[:4])} ended with {result.returncode}: {said}")
        self.result = result


@contextlib.contextmanager
def in_network(room: Room) -> Iterator[None]:
    """Put the calling thread, and no other, into the room's network namespace.

    What it connects or binds is the room's; what other threads do is not. Python 3.11 has no os.setns.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(f"/proc/{anchor(room).pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def members(room: Room) -> list[Process]:
    """Every process in the room's mount namespace, whoever started it, the anchor among them."""
    known: dict[str, bool] = {}
    found: list[Process] = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            namespace = os.readlink(f"/proc/{entry}/ns/mnt")
            if namespace not in known:
                known[namespace] = f" {room.marker} " in Path(f"/proc/{entry}/mountinfo").read_text()
        except OSError:  # ended meanwhile, or a zombie, which has no namespaces any more
            continue
        if known[namespace] and (process := Process.find(int(entry))) is not None:
            found.append(process)
    return found
