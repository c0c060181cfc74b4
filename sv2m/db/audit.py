# SPDX-License-Identifier: Apache-2.0
"""The audit log: one event for every change of phase, every document kept, and everything that an operator did.

An event is one line of JSON (keys sorted, no spaces, ASCII), and its digest is SHA-384 of the line with its line
break. Each carries the digest of the one before, the first one 48 zero bytes; so nobody changes, removes or inserts
one without changing every later digest. It is written by the queries of this package themselves, in the transaction
of what it tells: there is no change without its event, and no event of a change that did not happen.

The chain is a migration's (or an agreement's), not the cloud's; why is in doc/decisions.md. No event holds a secret:
what goes in is names, ids, phases, codes and digests, never a message's or an error's text; of a decision, the reason
that whoever took it gave for the record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy.orm import Session

from sv2m import errors
from sv2m.db.engine import written
from sv2m.db.models import AuditChain, AuditEvent

#: What stands where the first event would have the digest of the one before.
NOTHING = bytes(48)


def append(session: Session, subject: str, action: str, *, now: datetime | None = None, **details: Any) -> None:
    """Append an event in the caller's transaction.

    :param subject: the id of the migration or agreement.
    :param action: what happened: ``created``, ``phase``, ``document``, ``abort-requested`` …
    :param details: JSON values; None is left out.
    :raises sv2m.errors.PhaseConflict: somebody began this chain at the same moment.
    """
    now = now or datetime.now(UTC)
    # First the chain's end is taken: from here on to the commit nobody else appends to this chain.
    number, before = _begin(session, subject) if action == "created" else _take(session, subject)
    if number == 0 and action != "created":
        before = _write(session, {"action": "adopted", "number": 1, "previous": before.hex(), "subject": subject}, now)
        number = 1
    said = {name: value for name, value in details.items() if value is not None}
    event = {"action": action, "number": number + 1, "previous": before.hex(), "subject": subject, **said}
    digest = _write(session, event, now)
    mine = sa.update(AuditChain).where(AuditChain.subject == subject)
    written(session, mine.values(number=number + 1, digest=digest))


def list_for(session: Session, subject: str) -> Sequence[AuditEvent]:
    """The events of a migration or agreement, in their order."""
    query = sa.select(AuditEvent).where(AuditEvent.subject == subject)
    return session.scalars(query.order_by(AuditEvent.number)).all()


def subjects(session: Session) -> Sequence[AuditChain]:
    """The end of every chain."""
    return session.scalars(sa.select(AuditChain).order_by(AuditChain.subject)).all()


def unnotified(session: Session, limit: int) -> Sequence[AuditEvent]:
    """Events whose notification was not emitted yet, oldest first."""
    query = sa.select(AuditEvent).where(AuditEvent.notified.is_(False))
    return session.scalars(query.order_by(AuditEvent.id).limit(limit)).all()


def mark_notified(session: Session, events: Sequence[AuditEvent]) -> None:
    """Their notifications were emitted."""
    ids = [event.id for event in events]
    written(session, sa.update(AuditEvent).where(AuditEvent.id.in_(ids)).values(notified=True))


def remove(session: Session, subject: str, up_to: int) -> None:
    """Purge events up to this number. The chain's end stays, so that what follows continues it."""
    written(session, sa.delete(AuditEvent).where(AuditEvent.subject == subject, AuditEvent.number <= up_to))


def forget(session: Session, subject: str) -> None:
    """Remove a whole chain, of what is removed itself. Should the subject come again, it begins a new one."""
    written(session, sa.delete(AuditEvent).where(AuditEvent.subject == subject))
    written(session, sa.delete(AuditChain).where(AuditChain.subject == subject))


def digest_of(line: str) -> bytes:
    """SHA-384 of an event's line and its line break, as ``sed -n 3p events.jsonl | openssl dgst -sha384`` has it."""
    return hashlib.sha384(f"{line}\n".encode("ascii")).digest()


def _take(session: Session, subject: str) -> tuple[int, bytes]:
    """Count one more event, and return number and digest of the last one. Holds the row until the commit."""
    mine = AuditChain.subject == subject
    if written(session, sa.update(AuditChain).where(mine).values(number=AuditChain.number + 1)) == 0:
        return _begin(session, subject)
    # Our own UPDATE makes this the newest version of the row, in whatever isolation the database works.
    number, digest = session.execute(sa.select(AuditChain.number, AuditChain.digest).where(mine)).one()
    return number - 1, digest


def _begin(session: Session, subject: str) -> tuple[int, bytes]:
    """A chain's first row, as :func:`_take` returns it. Holds it until the commit.

    It looks for no row before: InnoDB's lock on where such a row would be would keep out every other new chain, and
    two that look so at once would be each other's deadlock.
    """
    try:
        session.execute(sa.insert(AuditChain).values(subject=subject, number=1, digest=NOTHING))
    except db_exc.DBDuplicateEntry as error:
        raise errors.PhaseConflict(f"the audit log of {subject} was just begun") from error
    return 0, NOTHING


def _write(session: Session, event: Mapping[str, Any], now: datetime) -> bytes:
    line = json.dumps({**event, "at": _instant(now)}, sort_keys=True, separators=(",", ":"))
    digest = digest_of(line)
    place = {"subject": event["subject"], "number": event["number"]}
    session.add(AuditEvent(**place, line=line, digest=digest, notified=False, at=now))
    session.flush()
    return digest


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
