# SPDX-License-Identifier: Apache-2.0
"""The results of cases: kept in a file line by line, shown as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.matrix import Case, accompanied

BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"
_COLUMNS = 6


@dataclass(frozen=True)
class Outcome:
    """One line of the table. ``where`` names the cloud in which the server is; seconds are the whole case's."""

    case: str
    circumstances: str
    outcome: str
    told: str
    where: str
    seconds: float

    def line(self) -> str:
        """For the terminal."""
        return (
            f"{self.outcome:6}  {self.case:44} {self.circumstances:36} {self.where:12} {self.seconds:5.0f} s  "
            f"{self.told}"
        )


class Results:
    """The last outcome of each case, in a file that survives an interruption."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Outcome]:
        """By the case's name."""
        if not self._path.exists():
            return {}
        found = [Outcome(**json.loads(line)) for line in self._path.read_text().splitlines()]
        return {outcome.case: outcome for outcome in found}

    def add(self, outcome: Outcome) -> None:
        """Append one; it is on the disk when this returns."""
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")


def markdown(cases: Sequence[Case], outcomes: Mapping[str, Outcome]) -> str:
    """The table for the documentation, in the order of the tables; cases that were not run are only counted."""
    again = [case for case in accompanied(cases) if case.name in outcomes]
    run = [outcomes[case.name] for case in sorted([*cases, *again], key=_place) if case.name in outcomes]
    passed = sum(outcome.outcome == "passed" for outcome in run)
    lines = [
        f"{len(run) - len(again)} of {len(cases)} cases were run, and {len(again)} of them once more while a second "
        f"migration ran: {passed} passed, {len(run) - passed} failed.",
        "",
        "| case | held | outcome | server is in cloud | A's operator reads | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for one in run:
        told = one.told.replace("|", "/").replace("\n", " ")[:300]
        lines.append(f"| {one.case} | {one.circumstances} | {one.outcome} | {one.where} | {told} | {one.seconds:.0f} |")
    return "\n".join(lines) + "\n"


def read(document: Path) -> dict[str, Outcome]:
    """The outcomes in a document's table, by the case's name: what an earlier run put there, on whatever machine."""
    _, _, rest = document.read_text().partition(BEGIN)
    shown, _, _ = rest.partition(END)
    found: dict[str, Outcome] = {}
    for line in shown.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == _COLUMNS and "@" in cells[0]:
            case, circumstances, outcome, where, told, seconds = cells
            found[case] = Outcome(case, circumstances, outcome, told, where, float(seconds))
    return found


def write(document: Path, table: str) -> None:
    """Put the table into a document, between its two marks."""
    text = document.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    document.write_text(f"{head}{BEGIN}\n\n{table}\n{END}{tail}")


def _place(case: Case) -> tuple[str, str, str, bool]:
    return ("1" if case.role == "source" else "2", case.phase, case.fault, case.again)
