# SPDX-License-Identifier: Apache-2.0
"""People who decide, and a destination that is silent when they do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.engine.decisions import Decision
from sv2m.gateway.client import Answer
from tests.unit.engine.leaving import Source

HOURS = timedelta(hours=2)
#: To which kinds of messages a silent destination answers again.
Answered = set[str]


def decide(row: Any, kind: str, reason: str = "the other side's site has burnt down") -> None:
    """What the API writes when a person has decided."""
    decision = Decision(kind, "u", reason, datetime.now(UTC))
    with database.session() as session:
        migrations.decide(session, migrations.get(session, row.id), decision.to_state(), by={"user_id": "u"})


def silent(source: Source, kind: str) -> Answered:
    """B has taken everything but the Release; and while it is asked, a person decides. :returns: what it answers."""

    def away(url: str, ca: str, document: bytes) -> Answer:
        said = p.peek(document).kind
        if said not in ("Release", "Closure") or said in answered:
            return honest(url, ca, document)
        if source.row.phase == "released" and not source.row.state.get("decision"):
            decide(source.row, kind)
        raise errors.PeerUnreachable("no route")

    answered: Answered = set()
    honest = source.peer.send
    source.peer.send = away  # type: ignore[method-assign]
    return answered


def later(source: Source) -> Any:
    """The peer is asked once more when it is time for that."""
    with database.session() as session:
        row = migrations.get(session, source.id)
        row.finished_at, row.next_try_at = datetime.now(UTC) - HOURS, None
    return source.run()
