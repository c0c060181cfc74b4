# SPDX-License-Identifier: Apache-2.0
"""``POST /v1/migrations/{id}/decide``: a person says how a migration goes on, where nobody is left who could sign it.

What they say is written into the row while it is in a phase in which they may; the engine looks once more whether
somebody knows better, and follows it or drops it (:mod:`sv2m.engine.deciding`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import webob

from sv2m import errors
from sv2m.api import migrations, starting
from sv2m.api.call import Call, answer
from sv2m.db import engine
from sv2m.db import migrations as rows
from sv2m.db.models import Migration
from sv2m.engine import decisions
from sv2m.engine.decisions import Decision
from sv2m.policies import migrations as rules
from sv2m.protocol import fields, states
from sv2m.protocol.declaration import MAX_REASON, OF_ROLE

#: How often a row may move on under our hands.
_TRIES = 5


def decide(call: Call) -> webob.Response:
    """Take a decision down. The same one again is one; another one replaces it while it was not followed yet."""
    row = migrations.visible(call, rules.DECIDE)
    wanted = call.body["decision"]
    fields.text("reason", wanted["reason"], 1, MAX_REASON)
    for left in reversed(range(_TRIES)):
        _check(row, wanted["kind"])
        try:
            row = _write(call, row, wanted)
            break
        except errors.PhaseConflict:
            # The engine has written something, which need not have been the phase.
            if not left:
                raise
            with engine.session() as session:
                row = rows.get(session, row.id)
    starting.wake(call, row.id, abort=False)
    return answer(202, {"migration": migrations.view(row, migrations.collection(call))})


def _write(call: Call, row: Migration, wanted: Mapping[str, Any]) -> Migration:
    before = decisions.of(row)
    if before is not None and (before.kind, before.reason) == (wanted["kind"], wanted["reason"]):
        return row
    caller = call.caller
    decision = Decision(wanted["kind"], caller.user_id or "", wanted["reason"], datetime.now(UTC))
    by = {**caller.who, "roles": sorted(caller.credentials["roles"])}
    with engine.session() as session:
        return rows.decide(session, row, decision.to_state(), by=by)


def _check(row: Migration, kind: str) -> None:
    """:raises sv2m.errors.Conflict: this is not theirs to decide, or not now."""
    possible = decisions.CHOICES.get((row.role, row.phase), ())
    if kind in possible:
        return
    if kind not in OF_ROLE[row.role]:
        other = "source" if row.role == "destination" else "destination"
        why = f"{kind} is for the {other} to say, which is {row.peer}; this cloud is the {row.role}"
    else:
        why = f"{kind} is not to be decided in {row.phase}: {_waits_for(row)}"
    raise errors.Conflict(
        f"migration {row.id}: {why}",
        code="nothing-to-decide",
        remedy=f"Possible now: {', '.join(possible) or 'nothing'}. See doc/operating.md, When a person has to decide.",
    )


def _waits_for(row: Migration) -> str:
    if row.phase in decisions.BY_DECISION:
        return "it has been decided"
    if "Receipt.resumed" in states.TABLES[row.role][row.phase]:
        return f"it waits for the signed Receipt of {row.peer}"
    if row.phase == "resuming":
        return "it waits for the host that has the server"
    if "Failed" in states.TABLES[row.role][row.phase]:
        return "nothing is released yet, and it can be aborted"
    if row.status != "running":
        return f"it has ended: {row.status}"
    return "it goes on by itself, and waits for this cloud's own services alone"
