# SPDX-License-Identifier: Apache-2.0
"""Results of the crash matrix survive an interruption, and the table says no more than was run."""

from __future__ import annotations

from pathlib import Path

from tests.faults.matrix import draw
from tests.faults.table import BEGIN, END, Outcome, Results, markdown, read, write

CASES = draw()


def outcome(number: int, result: str = "passed", told: str = "completed") -> Outcome:
    case = CASES[number]
    return Outcome(case.name, case.circumstances, result, told, "b", 31.4)


def test_the_last_result_of_a_case_counts(tmp_path: Path) -> None:
    Results(tmp_path / "results").add(outcome(0, "FAILED"))
    Results(tmp_path / "results").add(outcome(1))
    Results(tmp_path / "results").add(outcome(0))
    found = Results(tmp_path / "results").read()
    assert {one.case: one.outcome for one in found.values()} == {CASES[0].name: "passed", CASES[1].name: "passed"}


def test_the_table_counts_what_was_run_and_shows_nothing_else() -> None:
    shown = markdown(CASES, {one.case: one for one in (outcome(0), outcome(1, "FAILED", "a | b\nc"))})
    assert shown.startswith(f"2 of {len(CASES)} cases were run, and 0 of them once more")
    assert "ran: 1 passed, 1 failed." in shown
    assert sum(line.startswith("| ") and "@" in line for line in shown.splitlines()) == 2
    assert "a / b c" in shown


def test_a_table_is_put_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, "new")
    write(page, "newer")
    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n{END}\nafter\n"


def test_a_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"| no@case | a | b | c | d | 1 |\n{BEGIN}\n{END}\n")
    two = {one.case: one for one in (outcome(0), outcome(1, "FAILED", "failed: host-error; completed"))}
    write(page, markdown(CASES, two))
    found = read(page)
    assert found.keys() == two.keys()
    assert markdown(CASES, found) == markdown(CASES, two)
