# SPDX-License-Identifier: Apache-2.0
"""Ending a lab, or what is left of one, and looking that nothing stayed."""

from __future__ import annotations

import shutil

from lab.cloud import Lab, Room
from lab.namespace import members
from lab.process import Process, Record, stop


def processes(room: Room) -> list[Process]:
    """All processes of a room: those in its namespaces, and the recorded ones if they never got that far."""
    found = set(members(room))
    for path in room.run.glob("*.json"):
        if (process := Record(path).running()) is not None:
            found.add(process)
    return sorted(found, key=lambda process: process.pid)


def stop_all(lab: Lab, patience: float = 3.0) -> int:
    """End every process of the lab and return how many there were.

    Namespaces, mounts and interfaces exist nowhere but with these processes, so they end with the last.
    """
    first = [process for room in lab.rooms() for process in processes(room)]
    stop(first, patience)
    # A process may have been born while the list was made; nothing new can be born once a pass finds none.
    while late := [process for room in lab.rooms() for process in processes(room)]:
        stop(late, 0.0)
        first += late
    return len(set(first))


def leftovers(lab: Lab) -> list[str]:
    """What is still there of a lab that was ended: empty when it is truly down."""
    found = [f"process {process.pid} of {room.name}" for room in lab.rooms() for process in processes(room)]
    markers = {room.marker: room.name for room in lab.rooms()}
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            found += [
                f"mount of {name}: {line.split()[4]}" for marker, name in markers.items() if marker in line
            ]
    return found


def forget(lab: Lab) -> None:
    """Remove the state of all rooms, their logs too; what can be used again (the cache) stays."""
    (lab.directory / "up").unlink(missing_ok=True)
    for room in lab.rooms():
        shutil.rmtree(room.directory, ignore_errors=True)
