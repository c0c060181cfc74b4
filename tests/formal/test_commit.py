# SPDX-License-Identifier: Apache-2.0
"""The commit and its recovery, searched by Maude from the moment at which A is about to commit."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from formal.commit import maude, tables, versions
from formal.commit.maude import RULES
from sv2m import protocol
from sv2m.engine import conductor, flow
from sv2m.protocol import outgoing, states


def test_no_order_of_faults_makes_two_copies_and_every_storm_is_survived() -> None:
    assert maude.search(versions.SHIPPED.tables(), "brink").trace is None
    recovery = maude.recovery(versions.SHIPPED.tables("calm"), "brink")
    assert recovery.calm > 1000 and recovery.stuck == 0


def test_what_people_say_is_safe_as_long_as_it_is_true_and_nothing_waits_for_ever_any_more() -> None:
    assert maude.search(versions.PERSONS.tables(), "brink").trace is None
    recovery = maude.recovery(versions.PERSONS.tables("calm"), "brink")
    assert recovery.calm > 1000 and recovery.stuck == 0


def test_trust_may_end_at_any_moment_and_a_stolen_key_waits_for_people_alone() -> None:
    tables_of = versions.SHIPPED.tables("stolen-key")
    assert maude.search(tables_of, "brink").trace is None
    recovery = maude.recovery(versions.SHIPPED.tables("calm", "stolen-key"), "brink")
    assert recovery.calm > 1000 and recovery.stuck == 0


@pytest.mark.parametrize("version", versions.WEAKENED, ids=lambda version: version.name)
def test_with_one_thing_less_something_forbidden_happens(version: versions.Version) -> None:
    found = maude.search(version.tables(), "brink")
    assert found.trace, f"nothing forbidden in {found.states} states"


@pytest.mark.parametrize("version", versions.STUCK, ids=lambda version: version.name)
def test_with_one_thing_less_some_ends_are_not_good(version: versions.Version) -> None:
    assert maude.search(version.tables(), "brink").trace is None
    assert maude.recovery(version.tables("calm"), "brink").stuck > 0


def test_the_model_knows_every_event_and_step_of_the_code() -> None:
    rules = RULES.read_text()
    known = {(role, name) for role, name in re.findall(r"eq due\((\w), '(\w+)\)", rules)}
    known |= {("R", name) for name in re.findall(r"eq allows\('\w+\) =.*?'(\w+)", rules)}
    known |= {("R", name) for name in re.findall(r"next\(a, '\w+, '(\w+)\)", rules)}
    messages = {kind for kinds in states.RECEIVES.values() for kind in kinds}
    for role, short in tables.ROLES.items():
        for phase, row in states.TABLES[role].items():
            for trigger in row:
                if trigger.partition(".")[0] not in messages:
                    assert known & {(short, trigger), ("R", trigger)}, f"rules.maude has no {trigger} in {role} {phase}"
    asked = set(re.findall(r"eq step\((\w), '(\w+)\)", rules))
    phases = {tables.ROLES[role]: set(states.TABLES[role]) for role in states.TABLES}
    assert {phase for short, phase in asked if phase not in phases[short]} == set()


def test_what_is_said_here_of_the_code_is_so() -> None:
    """The few facts of tables.py that are not in states.py."""
    assert set(tables.LANDED) == set(conductor.LANDED)
    assert {name.partition(".")[0] for name in tables.SENDS.values()} <= set(protocol.KINDS)
    made: dict[str, Any] = {name: getattr(protocol, name) for name in tables.SENDS}
    assert all(dataclasses.is_dataclass(event) for event in made.values())
    text = outgoing.__file__
    with open(text) as source:
        code = source.read()
    for event, message in tables.SENDS.items():
        assert re.search(rf"\b{event}\b", code) and message.partition(".")[0] in code, (event, message)
    assert {phase for phase, step in flow.DESTINATION.items() if not step.may_fail} >= {"resuming", "undoing"}


def test_what_is_forbidden_is_recognised() -> None:
    """The predicates are not empty: a state that is built to be bad is found bad, from itself."""
    for name, hosts in {
        "two-run": "hosts('runs, 'none, 'running, 'runs)",
        "deleted-unowned": "hosts('deleted, 'none, 'restored, 'paused)",
    }.items():
        state = f"{{ {hosts} weather('calm) past(empty) }}"
        assert maude.search(versions.SHIPPED.tables(), state, (name,)).trace == ()
