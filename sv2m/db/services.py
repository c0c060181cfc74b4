# SPDX-License-Identifier: Apache-2.0
"""Which programs of SV2M run where: what each has last reported, or answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from sv2m.db.engine import written
from sv2m.db.models import Service

#: Seconds between two reports of a program.
REPORTED_EVERY = 30.0
#: A program that has said nothing for so long is down: it missed two reports, and a little.
UP_FOR = timedelta(seconds=90)
#: A host that has said nothing for so long is not there any more.
_FORGOTTEN_AFTER = timedelta(days=7)


def note(session: Session, binary: str, host: str, version: str, now: datetime) -> None:
    """Note that a program runs now.

    :raises oslo_db.exception.DBDuplicateEntry: two noted it for the first time at once; the second may try again.
    """
    same = (Service.binary == binary, Service.host == host)
    if not written(session, sa.update(Service).where(*same).values(version=version, seen_at=now)):
        session.add(Service(binary=binary, host=host, version=version, seen_at=now))
    written(session, sa.delete(Service).where(Service.seen_at < now - _FORGOTTEN_AFTER))
    session.flush()


def list_all(session: Session) -> Sequence[Service]:
    """Every program that was lately known, by name and host."""
    return session.scalars(sa.select(Service).order_by(Service.binary, Service.host)).all()


def is_up(service: Service, now: datetime) -> bool:
    """Whether it has reported, or answered, lately."""
    return service.seen_at >= now - UP_FOR


def up(session: Session, binary: str, now: datetime) -> list[str]:
    """The hosts on which a program runs, by name."""
    query = sa.select(Service.host).where(Service.binary == binary, Service.seen_at >= now - UP_FOR)
    return list(session.scalars(query.order_by(Service.host)))
