# SPDX-License-Identifier: Apache-2.0
"""The engine's tables against the protocol's: something is done in every phase that is ours to leave, in no other."""

from __future__ import annotations

import pytest

from sv2m.engine import flow, recovery
from sv2m.protocol import states

#: What each role receives, with the outcomes that the tables name.
PEERS = states.RECEIVES
PHASES = [(role, phase) for role, table in states.TABLES.items() for phase in table]


def _only_the_peer_leads_on(role: str, phase: str) -> bool:
    """Whether, Failed apart, every way out of the phase is a message of the peer."""
    ways = [trigger.split(".")[0] for trigger, to in states.TABLES[role][phase].items() if trigger != "Failed"]
    return all(way in PEERS[role] for way in ways)


@pytest.mark.parametrize(("role", "phase"), PHASES)
def test_every_phase_is_worked_on_or_waits(role: str, phase: str) -> None:
    step = flow.step(role, phase)
    if phase in states.FINAL[role]:
        assert step is None
    elif role == "source":
        # A always has the next word: where it needs B's, it asks.
        assert step is not None
    else:
        # "none" is before there is a row.
        assert (step is None) == (phase == "none" or _only_the_peer_leads_on(role, phase))


@pytest.mark.parametrize(("role", "phase"), PHASES)
def test_a_step_may_fail_exactly_where_the_protocol_lets_it(role: str, phase: str) -> None:
    step = flow.step(role, phase)
    if step is not None:
        assert step.may_fail == ("Failed" in states.TABLES[role][phase])


@pytest.mark.parametrize("role", states.TABLES)
def test_the_tables_have_no_phase_that_the_protocol_has_not(role: str) -> None:
    table = flow.SOURCE if role == "source" else flow.DESTINATION
    assert set(table) <= set(states.TABLES[role])


def test_recovery_gives_up_exactly_the_waiting_phases_that_may_be_given_up() -> None:
    waiting = [
        phase
        for phase, row in states.DESTINATION.items()
        if flow.step("destination", phase) is None and "Failed" in row
    ]
    assert sorted(recovery.WAITING) == sorted(waiting)
