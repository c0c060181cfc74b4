# SPDX-License-Identifier: Apache-2.0
"""What a person decided is read back from the row as it was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from sv2m.db.models import Migration
from sv2m.engine import decisions
from sv2m.engine.decisions import Decision

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def _row(*kept: Decision) -> Migration:
    state = {name: value for one in kept for name, value in one.to_state().items()}
    return Migration(state=json.loads(json.dumps(state)))


def test_nothing_is_decided() -> None:
    assert decisions.of(Migration()) is None
    assert not decisions.accepts_key(_row())


def test_a_decision_is_what_was_written() -> None:
    decision = Decision(decisions.ACCEPT_KEY, "an operator", "the peer's operators confirmed it by telephone", AT)
    assert decisions.of(_row(decision)) == decision
    assert decisions.accepts_key(_row(decision))


def test_its_time_is_utc() -> None:
    there = AT.astimezone(timezone(timedelta(hours=2)))
    found = decisions.of(_row(Decision("another", "an operator", "why", there)))
    assert found is not None
    assert (found.at, found.at.tzinfo) == (AT, UTC)


def test_another_decision_accepts_no_key() -> None:
    assert not decisions.accepts_key(_row(Decision("another", "an operator", "why", AT)))
