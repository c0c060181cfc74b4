# SPDX-License-Identifier: Apache-2.0
"""Migrations of which something is owed to the peer: what they began with, agreement and signing key, must stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sv2m.db.migrations import UNFINISHED
from sv2m.db.models import Message, Migration


def _kept(kind: str) -> sa.ColumnElement[bool]:
    return sa.exists().where(Message.migration_id == Migration.id, Message.kind == kind)


#: A repeats its Release until it hears the Receipt, however long that takes, and it can have sent one as soon as B has
#: signed Prepared. That it has heard, its Closure proves. Until then B must be able to answer, and to sign the answer.
_MAY_BE_ASKED = sa.and_(Migration.role == "destination", _kept("Prepared"), sa.not_(_kept("Closure")))


@dataclass(frozen=True)
class Owing:
    """A migration of which something is owed."""

    id: str
    role: str
    created_at: datetime


def may_be_asked(session: Session, migration_id: str) -> bool:
    """Whether the source may still ask this cloud, the destination, how the migration ended."""
    query = sa.select(Migration.id).where(Migration.id == migration_id, _MAY_BE_ASKED)
    return session.scalar(query) is not None


def list_owing(session: Session, peer: str | None = None) -> Sequence[Owing]:
    """What is unfinished here, and what the source may still ask about, oldest first.

    :param peer: only the migrations with this one.
    """
    query = sa.select(Migration.id, Migration.role, Migration.created_at).where(sa.or_(UNFINISHED, _MAY_BE_ASKED))
    if peer is not None:
        query = query.where(Migration.peer == peer)
    found = session.execute(query.order_by(Migration.created_at, Migration.id))
    return [Owing(row.id, row.role, row.created_at) for row in found]
