# SPDX-License-Identifier: Apache-2.0
"""B hears of a withdrawal whatever its reason was, and of the closure whenever it comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sv2m import errors
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.gateway.client import Answer
from tests.unit.engine.leaving import Source


def test_an_abort_is_told_to_the_destination(source: Source) -> None:
    source.before("edm.start_source", source.abort)
    assert source.run().phase == "withdrawn"
    assert source.peer.side.machine.phase == "undoing"


def test_an_expired_offer_is_told_to_the_destination(source: Source) -> None:
    def expire() -> None:
        with database.session() as session:
            migrations.get(session, source.id).not_after = datetime.now(UTC) - timedelta(seconds=1)

    source.before("edm.start_source", expire)
    assert source.run().phase == "withdrawn"
    assert source.peer.side.machine.phase == "undoing"


def test_an_abort_that_came_too_late_does_not_keep_the_closure_from_the_destination(source: Source) -> None:
    source.before("servers.delete", source.abort)
    assert source.run().phase == "closed"
    assert source.peer.side.machine.phase == "closing"


def later(source: Source, **ago: float) -> None:
    """As if the migration had ended that long ago."""
    with database.session() as session:
        migrations.get(session, source.id).finished_at -= timedelta(**ago)


def due(source: Source, **later: float) -> bool:
    """Whether recovery, when it looks that much later, would so much as read the migration."""
    with database.session() as session:
        rows = migrations.list_unfinished(session, due=datetime.now(UTC) + timedelta(**later))
        return source.id in [row.id for row in rows]


@pytest.mark.parametrize("answer", [errors.PeerUnreachable("away"), errors.RefusedByPeer("no"), Answer(False, None)])
def test_the_closure_is_offered_until_it_is_taken(source: Source, answer: Answer | Exception) -> None:
    source.peer.instead["Closure"] = [answer, answer]
    row = source.run()
    assert (row.phase, row.status) == ("closing", "completed")
    assert source.gone
    # Too early for the next try: a peer that is away is not knocked at with every look.
    assert not due(source)
    assert due(source, seconds=6)
    later(source, minutes=10)
    assert source.run().phase == "closing"
    assert not due(source, minutes=9)
    assert due(source, minutes=11)
    assert source.run().phase == "closed"
    # The very same bytes each time.
    assert len({document for kind, document in source.sent if kind == "Closure"}) == 1


def test_a_closure_that_nobody_takes_is_not_offered_for_ever(source: Source) -> None:
    source.peer.instead["Closure"] = [errors.PeerUnreachable("away")] * 2
    assert source.run().phase == "closing"
    later(source, days=8)
    assert source.run().phase == "closed"
