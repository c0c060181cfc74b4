# SPDX-License-Identifier: Apache-2.0
"""The destination's engine from offer to closure, and its way back."""

from __future__ import annotations

from tests.unit.engine.arriving import Destination


def test_a_migration_runs_from_offer_to_closure(destination: Destination) -> None:
    destination.source.run()
    row = destination.carry_on()
    assert (row.phase, row.status, row.error_code) == ("closed", "completed", None)
    assert destination.runs


def test_a_withdrawal_leaves_nothing(destination: Destination) -> None:
    destination.source.run("Transfer")
    assert not destination.untouched
    destination.post(destination.source.withdrawal())
    row = destination.carry_on()
    assert (row.phase, row.status, row.error_code) == ("undone", "aborted", "withdrawn")
    assert destination.untouched
