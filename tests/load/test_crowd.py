# SPDX-License-Identifier: Apache-2.0
"""One engine, many migrations: whoever's guest stands still waits for nobody else's migration.

Nothing is timed. What others would make it wait for hangs until all of it is over: if a guest is resumed nevertheless,
it has waited for none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from sv2m.engine import conductor
from tests.simulated.crowd import TRICKLER, Crowd
from tests.unit.engine.quickly import database, known_keys, template

__all__ = ["database", "known_keys", "template"]

#: Pre-copies, servers that arrive meanwhile, migrations to the peer that trickles, places. ``make test-load`` takes
#: the large ones.
CROWD, ARRIVALS, TRICKLED, PLACES = (40, 20, 40, 16) if os.environ.get("SV2M_TEST_LOAD") else (5, 2, 4, 2)


@pytest.fixture
def crowd(database: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    monkeypatch.setattr(conductor, "PATIENCE", 30.0)
    made = Crowd(PLACES)
    yield made
    made.stop()


def test_guests_are_resumed_while_all_precopies_and_a_trickling_peer_hang(crowd: Crowd) -> None:
    leaving = [crowd.leave() for _ in range(CROWD)]
    for one in leaving:
        assert crowd.agents.sending[one].sending.wait(300)
    trickled = [crowd.leave(to=TRICKLER.name) for _ in range(TRICKLED)]
    for _ in trickled:
        # Each has its answer to wait for, and none of them a place.
        assert crowd.peers.trickling.acquire(timeout=300)

    arriving = [crowd.sender().run("Release") for _ in range(ARRIVALS)]

    assert crowd.agents.resumed == [one.id for one in arriving]
    assert {crowd.phase(one) for one in leaving} == {"transferring"}
    assert {crowd.phase(one) for one in trickled} == {"offered"}


def test_of_all_the_precopies_the_one_that_is_ready_is_stopped_and_released_while_the_others_hang(
    crowd: Crowd,
) -> None:
    leaving = [crowd.leave() for _ in range(CROWD)]
    for one in leaving:
        assert crowd.agents.sending[one].sending.wait(300)
    for _ in range(TRICKLED):
        crowd.leave(to=TRICKLER.name)
    ready = leaving[-1]
    crowd.agents.sending[ready].ready.set()
    crowd.workers.work_on(ready).result(300)
    assert crowd.phase(ready) == "closed"
    assert {crowd.phase(one) for one in leaving[:-1]} == {"transferring"}
