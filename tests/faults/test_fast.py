# SPDX-License-Identifier: Apache-2.0
"""The part of the crash matrix that runs with the suite; `make test-faults` runs all of it."""

from __future__ import annotations

import pytest

from tests.faults.matrix import FAST, Case, draw, select
from tests.faults.runner import Runner


@pytest.mark.parametrize("case", select(draw(), FAST), ids=lambda case: case.name)
def test_nothing_is_lost(runner: Runner, case: Case) -> None:
    assert not runner.spoilt, runner.spoilt
    outcome = runner.run(case)
    assert outcome.outcome == "passed", outcome.told
