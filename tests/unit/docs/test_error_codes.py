# SPDX-License-Identifier: Apache-2.0
"""``doc/errors.md`` against the code: every code of every error, with its fault and with what to do."""

from __future__ import annotations

from sv2m import errors
from tests.unit.docs.codes import codes
from tests.unit.docs.pages import text_of

#: Put together at run time, from the status that a peer's gateway answered.
MADE = {"http-NNN": {"peer"}}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in text_of("errors.md").splitlines()
    if line.startswith("| `")
]
#: The first table is of faults, the others are of codes.
FAULTS = {cells[0].strip("`"): cells for cells in ROWS if len(cells) == 3}
CODES = {cells[0].strip("`"): cells for cells in ROWS if len(cells) == 4}


def test_every_code_is_there_once_and_no_other() -> None:
    assert len(CODES) + len(FAULTS) == len(ROWS) > 70
    assert sorted(CODES) == sorted({**codes(), **MADE})


def test_a_code_has_the_fault_of_the_code() -> None:
    wrong = {
        code: (CODES[code][1], sorted(faults))
        for code, faults in {**codes(), **MADE}.items()
        # A code that only a row of the database bears has no error of its own; its fault is the row's.
        if faults and set(CODES[code][1].split(", ")) != faults
    }
    assert wrong == {}


def test_every_code_says_when_and_what_to_do() -> None:
    assert [cells[0] for cells in CODES.values() if not all(cells)] == []


def test_the_faults_and_their_statuses() -> None:
    classes = [errors.SV2MError]
    for one in classes:
        classes += one.__subclasses__()
    by_fault: dict[str, set[int]] = {}
    for one in classes:
        if one.__module__ in ("sv2m.errors", "sv2m.api.faults"):
            by_fault.setdefault(one.fault, set()).add(one.http_status)
    assert sorted(FAULTS) == sorted(by_fault)
    for fault, statuses in by_fault.items():
        assert sorted(status for status in statuses if str(status) not in FAULTS[fault][2]) == [], fault
