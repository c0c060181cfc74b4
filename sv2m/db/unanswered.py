# SPDX-License-Identifier: Apache-2.0
"""Offers that their sender has not stood by: it never answered our challenge.

Whoever posts an Offer need not be the one who signed it, so such a migration proves nothing, and nothing was made for
it. It waits in a bounded number, and it is the only one whose row does not stay for ever.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sv2m.db import audit, messages, timestamps
from sv2m.db.engine import written
from sv2m.db.migrations import UNANSWERED
from sv2m.db.models import Migration


def waiting(session: Session, peer: str) -> int:
    """How many of a peer's offers wait for its answer now."""
    query = sa.select(sa.func.count()).select_from(Migration)
    return session.scalar(query.where(Migration.peer == peer, Migration.status == "running", UNANSWERED)) or 0


def remove(session: Session, migration_id: str) -> bool:
    """Remove such a migration when it has ended: row, documents, timestamps and audit log.

    :returns: False where it runs, or is not such a one; it stays.
    """
    over = sa.and_(Migration.id == migration_id, Migration.status != "running", UNANSWERED)
    if session.scalar(sa.select(Migration.id).where(over)) is None:
        return False
    timestamps.remove(session, migration_id)
    messages.remove(session, migration_id)
    audit.forget(session, migration_id)
    written(session, sa.delete(Migration).where(Migration.id == migration_id))
    return True
