# SPDX-License-Identifier: Apache-2.0
"""What a person has decided about a migration of which no rule can say how it ends.

Kept in the row's ``state``, because a step that is done again must find it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sv2m.db.models import Migration

#: The key of the row's ``state``.
STATE: Final = "decision"
#: What the peer signed after the commit is believed, although its key was reported as compromised.
ACCEPT_KEY: Final = "accept-key"


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
    decision = of(row)
    return decision is not None and decision.kind == ACCEPT_KEY
