# SPDX-License-Identifier: Apache-2.0
"""What peers' offers were accepted, for ever.

Rows are only added: that is what makes replay and rollback visible.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy.orm import Session

from sv2m import errors
from sv2m.db.engine import written
from sv2m.db.models import LedgerEntry, Migration


def enter(
    session: Session,
    migration_id: str,
    peer: str,
    vm: str,
    vm_generation: int,
    *,
    now: datetime | None = None,
) -> None:
    """Accept this migration once.

    One statement compares and inserts, so two offers at the same moment cannot both find the ledger empty.

    :param vm: the server's id at the peer.
    :raises sv2m.errors.ReplayedMessage: this migration id was entered before, or this state of the VM is not
        newer than one that was. The caller's transaction must end.
    """
    entry = LedgerEntry
    newer = sa.exists().where(
        entry.peer == peer, entry.vm == vm, entry.vm_generation >= sa.literal(vm_generation, sa.BigInteger)
    )
    values = sa.select(
        sa.literal(migration_id, sa.String(36)),
        sa.literal(peer, sa.String(255)),
        sa.literal(vm, sa.String(36)),
        sa.literal(vm_generation, sa.BigInteger),
        sa.literal(now or datetime.now(UTC), entry.__table__.c.at.type),
    ).where(~newer)
    columns = ["migration_id", "peer", "vm", "vm_generation", "at"]
    try:
        inserted = written(session, sa.insert(entry).from_select(columns, values))
    except db_exc.DBDuplicateEntry as error:
        raise errors.ReplayedMessage(f"migration {migration_id} was offered before") from error
    if inserted != 1:
        raise errors.ReplayedMessage(
            f"{peer} offered VM {vm} in generation {vm_generation}, not newer than one it offered before"
        )


def running(session: Session, peer: str) -> int:
    """How many migrations from this peer were entered and still run."""
    both = sa.join(Migration, LedgerEntry, LedgerEntry.migration_id == Migration.id)
    query = sa.select(sa.func.count()).select_from(both)
    return session.scalar(query.where(LedgerEntry.peer == peer, Migration.status == "running")) or 0


def last_generation(session: Session, peer: str, vm: str) -> int | None:
    """The newest generation of this VM that was accepted from this peer; None if it never was."""
    query = sa.select(sa.func.max(LedgerEntry.vm_generation))
    return session.scalar(query.where(LedgerEntry.peer == peer, LedgerEntry.vm == vm))
