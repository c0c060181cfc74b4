# SPDX-License-Identifier: Apache-2.0
"""The cases of the crash matrix follow the transition tables."""

from __future__ import annotations

import copy

import pytest

from sv2m.protocol import states
from tests.faults import matrix
from tests.faults.matrix import KILLED, UnreachablePhaseError, draw, select

LEAST = 120


def test_every_phase_meets_every_program_that_is_killed_on_its_side() -> None:
    names = {case.name for case in draw()}
    assert len(names) == len(draw()) >= LEAST
    for role, table in states.TABLES.items():
        for phase in set(table) - set(states.FINAL[role]) - matrix.decided(table, role):
            wanted = {f"kill-{program}@{role}:{phase}" for program in KILLED if program != "qemu"}
            wanted |= {f"{fault}@{role}:{phase}" for fault in matrix.BETWEEN}
            assert wanted <= names


def test_no_qemu_is_killed_where_there_is_none() -> None:
    killed = {(case.role, case.phase) for case in draw() if case.fault == "kill-qemu"}
    assert {("source", "transferring"), ("source", "released"), ("destination", "prepared")} <= killed
    assert not killed & {("source", "closing"), ("destination", "landing"), ("destination", "undoing")}


def test_services_are_put_out_of_order_where_the_flow_asks_them() -> None:
    names = {case.name for case in draw()}
    assert {"neutron-500@destination:landing", "placement-silent@destination:authenticated"} <= names
    assert "neutron-500@destination:verifying" not in names


def test_what_no_write_can_hold_is_struck_amid_a_step() -> None:
    amid = [case for case in draw() if case.moment == matrix.WITHIN]
    assert {(case.role, case.phase) for case in amid} >= {("source", "transferring"), ("destination", "landing")}
    assert ("destination", "accepted") not in {(case.role, case.phase) for case in amid}, "A has the next word there"
    assert len({case.delay for case in amid}) > 5


def test_a_new_phase_brings_its_cases_by_itself() -> None:
    tables = copy.deepcopy(states.TABLES)
    tables["source"]["transferring"]["Sealed"] = "switching"
    tables["source"]["switching"] = {"Switched": "transferred", "Failed": "withdrawing"}
    new = [case for case in draw(tables) if case.phase == "switching"]
    assert {case.fault for case in new} >= {f"kill-{program}" for program in KILLED}
    assert {case.name for case in draw(tables)} - {case.name for case in draw()} == {case.name for case in new}


def test_a_phase_to_which_no_rule_leads_is_an_error() -> None:
    tables = copy.deepcopy(states.TABLES)
    tables["destination"]["prepared"]["Failed"] = "mourning"
    tables["destination"]["mourning"] = {"Undone": "undone"}
    with pytest.raises(UnreachablePhaseError, match="mourning"):
        draw(tables)


def test_a_case_keeps_its_circumstances_when_phases_are_added() -> None:
    tables = copy.deepcopy(states.TABLES)
    tables["source"]["requested"]["OfferRequested"] = "priced"
    tables["source"]["priced"] = {"Priced": "offered", "Failed": "withdrawing"}
    assert set(draw()) <= set(draw(tables))


def test_cases_are_chosen_by_patterns() -> None:
    chosen = select(draw(), ["kill-qemu@source:*", "kill-qemu@source:offered"])
    assert {case.fault for case in chosen} == {"kill-qemu"}
    assert len(chosen) == len(set(chosen))


def test_the_same_again_with_two_migrations_makes_each_case_one_of_two() -> None:
    again = matrix.accompanied(draw())
    assert all(case.company for case in again)
    assert {case.name for case in again} == {f"{case.name}+" for case in draw() if not case.company}
    assert {case.delay for case in again} == {case.delay for case in draw() if not case.company}


def test_the_fast_part_is_part_of_the_whole() -> None:
    assert len(select(draw(), matrix.FAST)) == len(matrix.FAST)
