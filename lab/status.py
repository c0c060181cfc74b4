# SPDX-License-Identifier: Apache-2.0
"""The table of a lab's services."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.cloud import PORTS, Lab
from lab.process import Record
from lab.services import components


@dataclass(frozen=True)
class Row:
    """One service: `memory` in bytes, 0 when it does not run; `logs` where to read what it says."""

    room: str
    service: str
    state: str
    pid: int | None
    port: int | None
    memory: int
    logs: Path


def rows(lab: Lab) -> Iterator[Row]:
    """One row for each service of the lab, running or not."""
    for name, cloud in lab.clouds.items():
        for part in components():
            for daemon in part.daemons:
                yield _row(name, daemon.name, daemon.record(cloud), daemon.port, daemon.logs(cloud))
    ttp = lab.ttp
    yield _row(ttp.name, "ttp", Record(ttp.run / "ttp.json"), PORTS["ttp"], ttp.log / "ttp.out")


def _row(room: str, service: str, record: Record, port: int | None, logs: Path) -> Row:
    process = record.running()
    if process is None:
        return Row(room, service, "down" if record.read() is None else "ended", None, port, 0, logs)
    return Row(room, service, "up", process.pid, port, process.memory(), logs)


def table(lab: Lab) -> str:
    """The rows as text, with a line of totals."""
    listed = list(rows(lab))
    lines = [f"{'CLOUD':<6} {'SERVICE':<17} {'STATE':<6} {'PID':>7} {'PORT':>5} {'MiB':>6}  LOGS"]
    for row in listed:
        pid, port = row.pid or "-", row.port or "-"
        memory = row.memory // 2**20 or "-"
        lines.append(
            f"{row.room:<6} {row.service:<17} {row.state:<6} {pid:>7} {port:>5} {memory:>6}  {row.logs}"
        )
    up = sum(row.state == "up" for row in listed)
    total = sum(row.memory for row in listed) // 2**20
    lines.append(f"{up} of {len(listed)} services up, {total} MiB in all (without guests)")
    return "\n".join(lines)
