# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the destination's engine around any call of any phase: a new engine on the same rows goes on."""

from __future__ import annotations

import collections
import copy
from typing import Any

import pytest

from tests.protocol import clouds
from tests.unit.engine.arriving import Destination
from tests.unit.engine.recorder import Killed

PHASES = [
    "none",
    "challenged",
    "authenticated",
    "accepted",
    "landing",
    "receiving",
    "verifying",
    "prepared",
    "resuming",
    "resumed",
    "settled",
]


def local_disk() -> dict[str, Any]:
    """The needs of a server without a volume."""
    disk = {**copy.deepcopy(clouds.NEEDS)["disks"][0], "volume_gb": 0, "encrypted": False}
    return {"disks": [{**disk, "cipher": "", "key_size": 0}]}


def kill_everywhere(destination: Destination, phase: str, *, after_effect: bool, **how: Any) -> None:
    destination.source = destination.sender(**how)
    destination.run()
    kills = [number for number, seen in enumerate(destination.recorder.phases, start=1) if seen == phase]
    assert kills
    for number in kills:
        destination.begin()
        destination.source = destination.sender(**how)
        destination.recorder.kill_at, destination.recorder.kill_after_effect = number, after_effect
        with pytest.raises(Killed) as killed:
            destination.run()
        destination.restart()
        row = destination.run()
        assert (row.phase, row.status, row.error_code) == ("closed", "completed", None), killed.value
        assert destination.whole, killed.value


@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_before_a_call(destination: Destination, phase: str) -> None:
    kill_everywhere(destination, phase, after_effect=False)


@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_between_a_call_and_its_answer(destination: Destination, phase: str) -> None:
    kill_everywhere(destination, phase, after_effect=True)


@pytest.mark.parametrize("phase", ["landing", "resumed"])
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_kill_where_the_disk_is_the_hosts_own(destination: Destination, phase: str, after_effect: bool) -> None:
    kill_everywhere(destination, phase, after_effect=after_effect, needs=local_disk())


@pytest.mark.parametrize("after_effect", [False, True])
def test_engines_of_which_each_lives_a_call_longer(destination: Destination, after_effect: bool) -> None:
    lives: collections.Counter[str] = collections.Counter()
    recorder = destination.recorder
    recorder.kill_after_effect = after_effect
    while destination.phase != "closed":
        # One that is killed before its first effect, for ever, comes to nothing; each next one in a phase gets further.
        recorder.kill_at = len(recorder.calls) + 1 + lives[destination.phase]
        lives[destination.phase] += 1
        try:
            destination.run()
        except Killed:
            destination.stop()
            destination.start()
    assert lives.total() > 20
    recorder.kill_at = None
    assert destination.carry_on().status == "completed"
    assert destination.whole
