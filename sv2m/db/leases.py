# SPDX-License-Identifier: Apache-2.0
"""What one engine does for all of them, for as long as it says that it does: a lease, and what its holder has found.

Nothing depends on there being one holder only: where clocks differ two may do the same for a moment, which costs the
work, and is told twice.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy.orm import Session

from sv2m.db.engine import written
from sv2m.db.models import Lease


def take(session: Session, name: str, holder: str, now: datetime, until: datetime) -> bool:
    """Take the lease, or keep it. :returns: whether it is ours until then."""
    mine = sa.update(Lease).where(Lease.name == name, sa.or_(Lease.holder == holder, Lease.until < now))
    if written(session, mine.values(holder=holder, until=until)) == 1:
        return True
    if session.scalar(sa.select(Lease.name).where(Lease.name == name)) is not None:
        return False
    session.add(Lease(name=name, holder=holder, until=until, left=""))
    try:
        session.flush()
    except db_exc.DBDuplicateEntry:
        session.rollback()
        return False
    return True


def leave(session: Session, name: str, holder: str, left: str) -> bool:
    """Leave for all what the holder has found. :returns: False where the lease is another's by now."""
    mine = sa.update(Lease).where(Lease.name == name, Lease.holder == holder)
    return written(session, mine.values(left=left)) == 1


def left(session: Session, name: str) -> str:
    """What the last holder has left; empty where there was none, or it has found nothing yet."""
    return session.scalar(sa.select(Lease.left).where(Lease.name == name)) or ""


def end(session: Session, name: str, holder: str, now: datetime) -> None:
    """Give the lease up: whoever wants it takes it at once."""
    written(session, sa.update(Lease).where(Lease.name == name, Lease.holder == holder).values(until=now))
