# SPDX-License-Identifier: Apache-2.0
"""What a person has decided about a migration of which no rule can say how it ends.

Kept in the row's ``state``, because a step that is done again must find it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sv2m.db.models import Migration
from sv2m.protocol import declaration
from sv2m.protocol.declaration import LET_GO, LOST, RUNNING, TAKEN_BACK

#: The key of the row's ``state``.
STATE: Final = "decision"
#: What the peer signed after the commit is believed, although its key was reported as compromised.
ACCEPT_KEY: Final = declaration.ACCEPT_KEY

#: Where a person may decide, and what: (role, phase) -> kinds.
CHOICES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("source", "released"): (TAKEN_BACK, LET_GO, ACCEPT_KEY),
    ("destination", "prepared"): (ACCEPT_KEY,),
    ("destination", "resuming"): (LOST, RUNNING),
    ("destination", "undoing"): (ACCEPT_KEY,),
    ("destination", "undone"): (ACCEPT_KEY,),
}
#: Phases that follow from a person's decision alone.
BY_DECISION: Final = ("reclaiming", "reporting", "reclaimed", "relinquishing", "inquiring", "relinquished")


@dataclass(frozen=True)
class Decision:
    """One decision.

    :param kind: what was decided: ``accept-key`` or another word of the commands.
    :param by: who, as the audit log names them.
    :param reason: why, in their words.
    :param at: when, UTC.
    """

    kind: str
    by: str
    reason: str
    at: datetime

    def to_state(self) -> dict[str, Any]:
        """What is kept in the row's ``state``."""
        at = self.at.astimezone(UTC).isoformat()
        return {STATE: {"kind": self.kind, "by": self.by, "reason": self.reason, "at": at}}


def of(row: Migration) -> Decision | None:
    """What was decided about a migration; None: nothing."""
    kept = (row.state or {}).get(STATE)
    if kept is None:
        return None
    return Decision(kept["kind"], kept["by"], kept["reason"], datetime.fromisoformat(kept["at"]))


def accepts_key(row: Migration) -> bool:
    """Whether the peer's signature counts although its key was reported as compromised after the commit."""
    return _is(row, ACCEPT_KEY)


def declares_lost(row: Migration) -> bool:
    """Whether a person at B has said that the guest's host is lost, and the guest with it."""
    return _is(row, LOST)


def _is(row: Migration, *kinds: str) -> bool:
    decision = of(row)
    return decision is not None and decision.kind in kinds
