# SPDX-License-Identifier: Apache-2.0
"""This cloud's evidence certificates.

Pending: asked for. Active: one at most. Retired: kept, because old evidence is checked with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sv2m import errors
from sv2m.db.models import Certificate


def create(session: Session, *, now: datetime | None = None, **values: Any) -> Certificate:
    """Insert a certificate, pending unless ``state`` says otherwise.

    :param values: columns of :class:`~sv2m.db.models.Certificate`; at least name.
    """
    values.setdefault("id", str(uuid.uuid4()))
    values.setdefault("state", "pending")
    row = Certificate(at=now or datetime.now(UTC), **values)
    session.add(row)
    session.flush()
    return row


def get(session: Session, certificate_id: str) -> Certificate:
    """The certificate of this id.

    :raises sv2m.errors.NotFound: there is none.
    """
    row = session.get(Certificate, certificate_id)
    if row is None:
        raise errors.NotFound(f"there is no certificate {certificate_id}")
    return row


def active(session: Session) -> Certificate | None:
    """The certificate that this cloud signs with, or None before enrolment."""
    query = sa.select(Certificate).where(Certificate.state == "active")
    return session.scalars(query.order_by(Certificate.at.desc())).first()


def list_all(session: Session, state: str | None = None) -> Sequence[Certificate]:
    """Certificates, oldest first."""
    query = sa.select(Certificate)
    if state is not None:
        query = query.where(Certificate.state == state)
    return session.scalars(query.order_by(Certificate.at, Certificate.id)).all()


def update(session: Session, certificate_id: str, **values: Any) -> Certificate:
    """Change columns of a certificate.

    :raises sv2m.errors.NotFound: there is none.
    """
    row = get(session, certificate_id)
    for column, value in values.items():
        setattr(row, column, value)
    session.flush()
    return row


def activate(session: Session, certificate_id: str, **values: Any) -> Certificate:
    """Sign with this one from now on, and retire the one before.

    :raises sv2m.errors.NotFound: there is none.
    """
    row = get(session, certificate_id)
    session.execute(
        sa.update(Certificate)
        .where(Certificate.state == "active", Certificate.id != certificate_id)
        .values(state="retired")
        .execution_options(synchronize_session="fetch")
    )
    for column, value in {**values, "state": "active"}.items():
        setattr(row, column, value)
    session.flush()
    return row
