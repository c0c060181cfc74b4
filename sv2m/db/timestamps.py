# SPDX-License-Identifier: Apache-2.0
"""Timestamps of evidence: what is to be stamped, what was, and why not yet.

A row is made before the authority is asked, and says when it is asked next; so a question that was cut off is asked
again, and what has no timestamp yet can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy.orm import Session

from sv2m.db.engine import written
from sv2m.db.migrations import UNANSWERED
from sv2m.db.models import AuditChain, Message, Migration, Timestamp

#: What covers an audit log, with the number of the last event; what covers all that there was, with a number.
AUDIT, ARCHIVE = "audit-", "archive-"


def missing(session: Session, kinds: Sequence[str], limit: int) -> list[tuple[str, str]]:
    """(migration, what to cover) for which there is no row yet: messages, and the logs of migrations that ended.

    However old they are: an authority may have been named late, or been away for long. A timestamp of after the end of
    the signer's certificate shows only that the message was there by then, and takes nothing from it.

    None of an offer that nobody has stood by yet: whoever posts many would have us ask the authority for each.
    """
    stamped = Timestamp.migration_id
    message = sa.exists().where(stamped == Message.migration_id, Timestamp.covers == Message.kind)
    found = [
        (migration_id, kind)
        for migration_id, kind in session.execute(
            sa.select(Message.migration_id, Message.kind)
            .join(Migration, Migration.id == Message.migration_id)
            .where(Message.kind.in_(kinds), ~message, ~UNANSWERED)
            .order_by(Message.id)
            .limit(limit)
        )
    ]
    covers = sa.literal(AUDIT) + sa.cast(AuditChain.number, sa.String(16))
    log = sa.exists().where(stamped == AuditChain.subject, Timestamp.covers == covers)
    ended = (
        sa.select(AuditChain.subject, AuditChain.number)
        .join(Migration, Migration.id == AuditChain.subject)
        .where(Migration.status != "running", Migration.phase.not_in(("closing", "telling")), ~log, ~UNANSWERED)
    )
    return found + [
        (subject, f"{AUDIT}{number}")
        for subject, number in session.execute(ended.order_by(AuditChain.subject).limit(limit))
    ]


def begin(session: Session, migration_id: str, covers: str, now: datetime) -> bool:
    """Note that it is to be stamped.

    :returns: False when somebody else noted it at this moment; the caller's transaction must end.
    """
    session.add(Timestamp(migration_id=migration_id, covers=covers, attempts=0, due_at=now))
    try:
        session.flush()
    except db_exc.DBDuplicateEntry:
        return False
    return True


def due(session: Session, now: datetime, limit: int) -> Sequence[Timestamp]:
    """What is to be asked for now, the longest due first."""
    query = sa.select(Timestamp).where(Timestamp.response.is_(None), Timestamp.due_at <= now)
    return session.scalars(query.order_by(Timestamp.due_at, Timestamp.id).limit(limit)).all()


def claim(session: Session, row: Timestamp, until: datetime) -> bool:
    """Take one that is due, so that of several engines one asks. It is due again at ``until``, should we die."""
    mine = sa.update(Timestamp).where(
        Timestamp.id == row.id, Timestamp.response.is_(None), Timestamp.attempts == row.attempts
    )
    return written(session, mine.values(attempts=row.attempts + 1, due_at=until)) == 1


def keep(session: Session, timestamp_id: int, response: bytes, stamped_at: datetime, ca_pem: str) -> None:
    """Keep the authority's answer. Written once."""
    pending = sa.update(Timestamp).where(Timestamp.id == timestamp_id, Timestamp.response.is_(None))
    values = {"response": response, "stamped_at": stamped_at, "ca_pem": ca_pem, "error": None, "due_at": None}
    written(session, pending.values(**values))


def put_off(session: Session, timestamp_id: int, error: str, until: datetime) -> None:
    """It could not be had; say why, and when it is tried again."""
    pending = sa.update(Timestamp).where(Timestamp.id == timestamp_id, Timestamp.response.is_(None))
    written(session, pending.values(error=error, due_at=until))


def archive(
    session: Session, migration_id: str, covers: str, *, listing: str, response: bytes, at: datetime, ca_pem: str
) -> None:
    """Keep a timestamp over all the evidence that there was.

    :param listing: what it is of, a line for each file.
    :param at: the authority's time.
    """
    answer = {"response": response, "stamped_at": at, "ca_pem": ca_pem}
    session.add(Timestamp(migration_id=migration_id, covers=covers, listing=listing, attempts=1, **answer))
    session.flush()


def list_for(session: Session, migration_id: str) -> Sequence[Timestamp]:
    """All of a migration, in the order in which they were noted; those without a response are still to be had."""
    query = sa.select(Timestamp).where(Timestamp.migration_id == migration_id)
    return session.scalars(query.order_by(Timestamp.id)).all()


def pending(session: Session, limit: int) -> Sequence[Timestamp]:
    """What has no timestamp yet, the longest due first."""
    query = sa.select(Timestamp).where(Timestamp.response.is_(None))
    return session.scalars(query.order_by(Timestamp.due_at, Timestamp.id).limit(limit)).all()


def remove(session: Session, migration_id: str) -> int:
    """Purge every timestamp of a migration.

    :returns: how many there were.
    """
    return written(session, sa.delete(Timestamp).where(Timestamp.migration_id == migration_id))
