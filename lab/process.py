# SPDX-License-Identifier: Apache-2.0
"""Spawning a process, recording which one it is, and stopping exactly that one again.

A process id alone names nothing for long: ids are used again. A record therefore holds the start time too,
and a process is only signalled while both still agree.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """A process of this machine.

    `start` is field 22 of /proc/<pid>/stat: clock ticks after boot.
    """

    pid: int
    start: int

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """The process that has this id now, zombies left out."""
        fields = _stat(pid)
        return None if fields is None or fields[0] in "ZX" else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        return Process.find(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has gone. A pidfd closes the gap between look and kill."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    def memory(self) -> int:
        """Resident bytes of the process and of all in its session."""
        total = 0
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := _stat(int(entry))) is not None and int(fields[3]) == self.pid:
                total += int(fields[21]) * _PAGE
        return total


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the third (state) on; the second may hold blanks."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


class Record:
    """The file that says which process a service is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Process | None:
        """The recorded process, dead or alive; None if none was recorded or the record is unreadable."""
        try:
            data = json.loads(self._path.read_text())
            return Process(int(data["pid"]), int(data["start"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, process: Process) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(asdict(process)))
        new.replace(self._path)

    def running(self) -> Process | None:
        process = self.read()
        return process if process is not None and process.alive() else None


class DiedAtStartError(Exception):
    """A service ended when it should have kept running."""


def spawn(
    command: Sequence[str], record: Record, output: Path, environment: Mapping[str, str], directory: Path
) -> Process:
    """Start `command` in a session of its own, its output appended to a file, and write its record."""
    with output.open("ab") as sink:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )
    process = Process.find(child.pid)
    if process is None:
        raise DiedAtStartError(f"{command[0]} ended at once; see {output}")
    record.write(process)
    return process


def stop(processes: Iterable[Process], patience: float = 3.0) -> None:
    """End processes: SIGTERM, and SIGKILL for those still there after `patience` seconds."""
    left = [process for process in processes if process.alive()]
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        for process in left:
            process.signal(number)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = [process for process in left if process.alive()]
