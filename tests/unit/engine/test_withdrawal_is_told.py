# SPDX-License-Identifier: Apache-2.0
"""B hears of a withdrawal whatever its reason was, and of the closure whenever it comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sv2m.db import engine as database
from sv2m.db import migrations
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
