# SPDX-License-Identifier: Apache-2.0
"""Federation agreements, one for each peer."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy.orm import Session

from sv2m import errors
from sv2m.db import audit, owing
from sv2m.db.engine import written
from sv2m.db.models import Peer

#: How many migrations an error names.
_NAMED = 3


def create(
    session: Session, *, now: datetime | None = None, by: Mapping[str, Any] | None = None, **values: Any
) -> Peer:
    """Make an agreement.

    :param by: who, for the audit log.
    :param values: columns of :class:`~sv2m.db.models.Peer`; at least name, url, ca_pem, direction.
    :raises sv2m.errors.Conflict: there is one with this peer.
    """
    now = now or datetime.now(UTC)
    values.setdefault("id", str(uuid.uuid4()))
    row = Peer(created_at=now, updated_at=now, **values)
    session.add(row)
    try:
        session.flush()
    except db_exc.DBDuplicateEntry as error:
        raise errors.Conflict(
            f"there is an agreement with {values['name']} already", code="peer-exists"
        ) from error
    audit.append(session, row.id, "created", now=now, agreement=_told(values), **(by or {}))
    return row


def find(session: Session, name: str) -> Peer | None:
    """The agreement with the peer of exactly this name, or None."""
    return session.scalars(sa.select(Peer).where(Peer.name == name)).one_or_none()


def hold(session: Session, name: str) -> None:
    """Take the agreement with a peer until this transaction ends; whoever else takes it then waits, or begins again.

    To be the transaction's first statement: only what is read after it is what the one before has left. It writes,
    because a lock alone is known to one node only of a Galera cluster: of two that have written the same row on two
    nodes the second is a deadlock's victim at its commit (:func:`sv2m.db.engine.transaction` has it begin again).
    """
    written(session, sa.update(Peer).where(Peer.name == name).values(holds=Peer.holds + 1))


def get(session: Session, id_or_name: str) -> Peer:
    """The agreement of this id or with the peer of this name.

    :raises sv2m.errors.NotFound: there is none.
    """
    row = session.get(Peer, id_or_name) or find(session, id_or_name)
    if row is None:
        raise errors.NotFound(f"there is no agreement with {errors.shown(id_or_name)}")
    return row


def list_page(session: Session, *, limit: int, marker: str | None = None) -> Sequence[Peer]:
    """Agreements by name.

    :param marker: id or name of the last one of the page before.
    :raises sv2m.errors.LocalError: no such marker.
    """
    query = sa.select(Peer)
    if marker is not None:
        try:
            last = get(session, marker)
        except errors.NotFound as error:
            raise errors.LocalError(f"marker {errors.shown(marker)} is not a peer", code="invalid-marker") from error
        query = query.where(Peer.name > last.name)
    return session.scalars(query.order_by(Peer.name).limit(limit)).all()


def list_all(session: Session) -> Sequence[Peer]:
    """Every agreement, by name."""
    return session.scalars(sa.select(Peer).order_by(Peer.name)).all()


def update(
    session: Session,
    id_or_name: str,
    *,
    now: datetime | None = None,
    by: Mapping[str, Any] | None = None,
    **values: Any,
) -> Peer:
    """Change an agreement.

    A migration that runs takes a new url and new CAs with its next message, and a new volume type if its volume is not
    made yet. What else was agreed was asked when it began, and is not asked again: one that is disabled, or refused by
    new limits, only begins no more.

    :param by: who, for the audit log.
    :raises sv2m.errors.NotFound: there is none.
    """
    row = get(session, id_or_name)
    for column, value in values.items():
        setattr(row, column, value)
    row.updated_at = now or datetime.now(UTC)
    session.flush()
    audit.append(session, row.id, "changed", now=now, agreement=_told(values), **(by or {}))
    return row


def delete(session: Session, id_or_name: str, *, by: Mapping[str, Any] | None = None) -> None:
    """End an agreement.

    :param by: who, for the audit log, which outlives the agreement.
    :raises sv2m.errors.NotFound: there is none.
    :raises sv2m.errors.Conflict: migrations with this peer still need it: they run, or one cloud still has to hear
        from the other how they ended. Without it nothing of them is verified, nothing sent and nothing answered.
    """
    row = get(session, id_or_name)
    left = owing.list_owing(session, row.name)
    if left:
        named = ", ".join(one.id for one in left[:_NAMED]) + (" …" if len(left) > _NAMED else "")
        raise errors.Conflict(
            f"{len(left)} migrations with {row.name} still need its agreement: {named}",
            code="peer-in-use",
            remedy="Disable it (--disable), so that none begins. Delete it when these have ended and both clouds "
            "know how; of a peer that is gone for good it stays, disabled.",
        )
    audit.append(session, row.id, "deleted", agreement={"name": row.name}, **(by or {}))
    session.delete(row)
    session.flush()


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """An agreement's values as the audit log has them: certificates by digest."""
    return {
        name: hashlib.sha384(str(value).encode()).hexdigest() if name.endswith("_pem") else value
        for name, value in values.items()
        if name != "id"
    }
