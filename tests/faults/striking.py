# SPDX-License-Identifier: Apache-2.0
"""The faults themselves, and how all is put right again as an init system and a repairman would."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from lab.cloud import PORTS, REPOSITORY, Cloud
from lab.guests import until
from lab.namespace import inside, members
from lab.process import Process, Record, spawn, stop
from lab.rest import Client
from lab.services import components
from lab.services.base import Daemon
from lab.session import CloudSession, LabSession
from tests.cloud.world import Side, World
from tests.faults import disks
from tests.faults.matrix import DISK_FULL, OUT_OF_ORDER, REQUESTS_LOST, WITHIN

DEVICE = "peer0"
#: Seconds that a service answers 500, or nothing: longer than SV2M waits for one answer in these tests.
OUTAGE = 12.0
#: Who carries out what was asked of them.
EXECUTES = {"Nova": "nova-compute", "Cinder": "cinder-volume"}
#: Seconds in which they know nothing of a broker that was started again.
DEAF = 20.0
BLIP = 5.0
BALLAST = ".ballast"


class Striker:
    """Does one fault to the clouds."""

    def __init__(self, world: World) -> None:
        self._world = world

    def strike(self, fault: str, side: Side, server: str | None) -> None:
        """Let the fault happen, on this side.

        Args:
            server: the server whose QEMU is killed, where that is the fault
        """
        if fault == "kill-both-engines":
            for one in (self._world.a, self._world.b):
                one.kill("sv2m-engine")
        elif fault == "kill-qemu":
            assert server is not None, "this side has no server yet"
            kill_qemu(side, server)
        elif fault.startswith("kill-"):
            side.kill(fault.removeprefix("kill-").removesuffix(f"-{WITHIN}"))
        elif fault.startswith("cut-"):
            side.session.run(["ip", "link", "set", DEVICE, "down"])
        elif fault == DISK_FULL:
            fill(side)
        elif fault in REQUESTS_LOST:
            lose_requests(side, EXECUTES[REQUESTS_LOST[fault]])
        else:
            service, _, how = fault.rpartition("-")
            assert how in OUT_OF_ORDER, fault
            if how == "silent":
                for process in side.processes(service):
                    process.signal(signal.SIGSTOP)
            else:
                side.kill(service)
                self._refuse(side, service)

    def lasts(self, fault: str) -> float:
        """Seconds from the fault until the repairman comes; for one that is for good he waits for the end."""
        if fault == "cut-5s":
            return BLIP
        if fault in REQUESTS_LOST:
            return DEAF
        return OUTAGE if fault.endswith(tuple(f"-{how}" for how in OUT_OF_ORDER)) else 0.5

    def _refuse(self, side: Side, service: str) -> None:
        cloud = side.session.cloud
        command = [sys.executable, "-m", "tests.faults.refusing", str(PORTS[service])]
        record = Record(cloud.run / f"refusing-{service}.json")
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
        spawn(inside(cloud, command), record, cloud.log / f"refusing-{service}.out", environment, cloud.directory)
        until(lambda: _listening(side, service), f"port {PORTS[service]} answers 500", 30, 0.05)


def mend(lab: LabSession) -> None:
    """Everything runs and is connected again; what was never broken is left alone."""
    sessions = [lab.cloud(name) for name in lab.lab.clouds]
    for session in sessions:
        cloud = session.cloud
        session.run(["ip", "link", "set", DEVICE, "up"])
        if disks.bound(session):
            session.run(["rm", "-f", str(disks.share(session) / BALLAST)])
        stop([process for record in cloud.run.glob("refusing-*.json") if (process := Record(record).running())])
        hear(cloud)
    for daemon in _in_order():
        for session in sessions:
            if session.process(daemon.name) is None:
                session.start(daemon.name)
                if daemon.name == "neutron":
                    _wake_neutron(session)


def _wake_neutron(session: CloudSession) -> None:
    """A Neutron whose first request after its start lists ports fails to list ports for ever; another one comes first.

    Its model of ports is complete only once SQLAlchemy has configured its mappers, which the first query does, and
    listing ports looks at the model before it queries.
    """
    with session.in_network():
        Client(session.cloud).call("GET", "neutron", "/networks")


def kill_qemu(side: Side, server: str) -> None:
    """SIGKILL the QEMU of a server."""
    process = qemu(side.session.cloud, side.session.run(["virsh", "domname", server]).stdout.strip())
    assert process is not None, f"{server} has no QEMU at {side.name}"
    process.signal(signal.SIGKILL)
    until(lambda: None if process.alive() else True, "QEMU is dead", 30, 0.02)


def qemu(cloud: Cloud, domain: str) -> Process | None:
    """The process of a libvirt domain."""
    file = cloud.directory / "libvirt" / "run" / "qemu" / f"{domain}.pid"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return Process.find(int(file.read_text()))
    return None


def fill(side: Side) -> None:
    """Leave no room on the disks of this cloud's volumes."""
    assert disks.bound(side.session), "filled would be the machine's own disk"
    ballast = str(disks.share(side.session) / BALLAST)
    side.session.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=1M"], check=False)
    side.session.run(["sh", "-c", f"head -c 1M /dev/zero >> {ballast}"], check=False)


def lose_requests(side: Side, *services: str) -> None:
    """Until :func:`hear`, what these services are to carry out goes nowhere: the new broker has no queue for it."""
    for service in services:
        for process in side.processes(service):
            process.signal(signal.SIGSTOP)
    side.kill("rabbitmq")
    side.start("rabbitmq")


def hear(cloud: Cloud) -> None:
    """Whoever was stopped goes on."""
    for process in members(cloud):
        if _stopped(process):
            process.signal(signal.SIGCONT)


def hold_still(seconds: float) -> None:
    """Let a fault last."""
    time.sleep(seconds)


def _in_order() -> list[Daemon]:
    """Each daemon after those that it needs."""
    daemons = {daemon.name: daemon for part in components() for daemon in part.daemons}
    ordered: dict[str, Daemon] = {}

    def add(daemon: Daemon) -> None:
        for need in daemon.needs:
            if need in daemons and need not in ordered:
                add(daemons[need])
        ordered.setdefault(daemon.name, daemon)

    for daemon in daemons.values():
        add(daemon)
    return list(ordered.values())


def _listening(side: Side, service: str) -> bool | None:
    return side.session.run(["sh", "-c", f"ss -Hltn 'sport = :{PORTS[service]}'"]).stdout.strip() != "" or None


def _stopped(process: Process) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False
