# SPDX-License-Identifier: Apache-2.0
"""Signed documents, certificates and CRLs of a migration: its evidence. Written once, never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy.orm import Session

from sv2m import errors
from sv2m.db import audit
from sv2m.db.engine import written
from sv2m.db.models import Message, MessagePart

SENT = "sent"
RECEIVED = "received"


def record(  # noqa: PLR0917 - the order is that of the columns
    session: Session,
    migration_id: str,
    kind: str,
    direction: str,
    document: bytes,
    digest: bytes,
    *,
    now: datetime | None = None,
) -> Message:
    """Keep a document. The very same one again is no change; another of the same kind is refused.

    :param kind: the root element's name (``Offer``), or the name of what accompanies it (``chain``).
    :param direction: :data:`SENT` or :data:`RECEIVED`.
    :param digest: SHA-384 of the exclusive C14N of the signed document; empty for what is not signed XML.
    :raises sv2m.errors.ReplayedMessage: the peer has sent a different one before.
    :raises sv2m.errors.PhaseConflict: this cloud has sent a different one before.
    """
    kept = find(session, migration_id, kind)
    now = now or datetime.now(UTC)
    if kept is None:
        kept = Message(
            migration_id=migration_id,
            kind=kind,
            direction=direction,
            parts=Message.cut(document),
            digest=digest,
            at=now,
        )
        session.add(kept)
        try:
            session.flush()
        except db_exc.DBDuplicateEntry as error:
            raise errors.PhaseConflict(f"another {kind} of migration {migration_id} was just kept") from error
        sha384 = hashlib.sha384(document).hexdigest()
        audit.append(session, migration_id, "document", now=now, kind=kind, direction=direction, sha384=sha384)
    elif kept.document != document or kept.direction != direction:
        text = f"migration {migration_id} has another {kind} already"
        raise errors.ReplayedMessage(text) if direction == RECEIVED else errors.PhaseConflict(text)
    return kept


def remove(session: Session, migration_id: str) -> int:
    """Purge every document of a migration.

    :returns: how many there were.
    """
    ids = sa.select(Message.id).where(Message.migration_id == migration_id).scalar_subquery()
    written(session, sa.delete(MessagePart).where(MessagePart.message_id.in_(ids)))
    return written(session, sa.delete(Message).where(Message.migration_id == migration_id))


def find(session: Session, migration_id: str, kind: str) -> Message | None:
    """The document of this kind, or None."""
    query = sa.select(Message).where(Message.migration_id == migration_id, Message.kind == kind)
    return session.scalars(query).one_or_none()


def kinds(session: Session, migration_id: str) -> Sequence[str]:
    """What is kept of a migration, without reading it, in the order in which it was kept."""
    query = sa.select(Message.kind).where(Message.migration_id == migration_id)
    return session.scalars(query.order_by(Message.id)).all()


def list_for(session: Session, migration_id: str, only: Collection[str] | None = None) -> Sequence[Message]:
    """The documents of a migration, in the order in which they were kept.

    :param only: those of these kinds; None: every one.
    """
    query = sa.select(Message).where(Message.migration_id == migration_id)
    if only is not None:
        query = query.where(Message.kind.in_(only))
    return session.scalars(query.order_by(Message.id)).all()
