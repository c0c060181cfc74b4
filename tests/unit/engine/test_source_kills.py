# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the source's engine around any call of any phase: a new engine on the same rows goes on."""

from __future__ import annotations

import pytest

from tests.unit.engine.leaving import Source
from tests.unit.engine.recorder import Killed

PHASES = [
    "requested",
    "offered",
    "authenticated",
    "accepted",
    "enveloped",
    "transferred",
    "prepared",
    "released",
    "receipted",
    "closing",
]


def kill_everywhere(source: Source, phase: str, *, after_effect: bool) -> None:
    source.run()
    kills = [number for number, seen in enumerate(source.recorder.phases, start=1) if seen == phase]
    assert kills
    for number in kills:
        source.begin()
        source.recorder.kill_at, source.recorder.kill_after_effect = number, after_effect
        with pytest.raises(Killed) as killed:
            source.run()
        source.recorder.kill_at = None
        source.stop()
        source.start()
        row = source.run()
        if "edm.start_source" in str(killed.value) and not after_effect:
            # Whether the agent has begun, and was restarted since, nobody can tell: nothing is sealed twice under VMK.
            assert (row.phase, row.error_code, source.at_home) == ("withdrawn", "agent-lost", True)
            continue
        assert (row.phase, row.status) == ("closed", "completed"), killed.value
        assert source.gone, killed.value
        assert source.nova.paused >= 1


@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_before_a_call(source: Source, phase: str) -> None:
    kill_everywhere(source, phase, after_effect=False)


@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_between_a_call_and_its_answer(source: Source, phase: str) -> None:
    kill_everywhere(source, phase, after_effect=True)
