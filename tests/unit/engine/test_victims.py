# SPDX-License-Identifier: Apache-2.0
"""A database of several writers picks victims of its deadlocks, at a commit too: what was theirs is done again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exc

from sv2m.db import engine as database
from sv2m.db import migrations, peers
from sv2m.db.models import Peer
from sv2m.engine.recovery import Heartbeat
from tests.unit.engine.arriving import Destination
from tests.unit.engine.surroundings import SOURCE


def victim(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Exception]:
    """The next two calls fail so. :returns: what is left to fail with."""
    honest: Callable[..., Any] = getattr(module, name)
    left: list[Exception] = [db_exc.DBDeadlock()] * 2

    def call(*args: Any, **kwargs: Any) -> Any:
        result = honest(*args, **kwargs)
        if left:
            raise left.pop()
        return result

    monkeypatch.setattr(module, name, call)
    return left


@pytest.mark.parametrize(("module", "name"), [(peers, "hold"), (migrations, "create"), (migrations, "advance")])
def test_an_offer_is_introduced_and_decided(
    destination: Destination, module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = victim(monkeypatch, module, name)
    destination.source.run("TokenAB")
    assert (destination.phase, left) == ("accepted", [])


def test_a_sign_of_life_is_given(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = destination.workers
    assert workers is not None
    seen: list[Any] = []

    def look() -> None:
        left = victim(monkeypatch, migrations, "heartbeat")
        Heartbeat(destination.services.conf, workers, "engine-b").look()
        seen.append((workers.owned, left))

    destination.before("edm.complete", look)
    destination.run()
    assert seen == [([destination.source.id], [])]


def test_whoever_takes_an_agreement_writes_so_that_every_node_sees_it(destination: Destination) -> None:
    with database.session() as session:
        before = session.scalar(sa.select(Peer.holds).where(Peer.name == SOURCE.name))
    with database.session() as session:
        peers.hold(session, SOURCE.name)
    with database.session() as session:
        assert session.scalar(sa.select(Peer.holds).where(Peer.name == SOURCE.name)) == before + 1  # type: ignore[operator]
