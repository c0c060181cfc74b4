# SPDX-License-Identifier: Apache-2.0
"""Migrations: made once, moved on by compare-and-swap, never deleted (but for :mod:`sv2m.db.unanswered`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy.orm import Session, aliased

from sv2m import errors
from sv2m.db import audit
from sv2m.db.engine import written
from sv2m.db.models import Message, Migration

#: A's phases in which the migration is over, and the peer is still told, or asked.
AFTERWARDS = ("closing", "telling", "reporting", "inquiring", "receipted")
#: What still runs, and what has ended here but must still be told to the peer.
UNFINISHED = sa.or_(
    Migration.status == "running",
    sa.and_(Migration.role == "source", Migration.phase.in_(AFTERWARDS)),
)


def _kept(kind: str) -> sa.ColumnElement[bool]:
    # An alias, for a query that is of messages itself.
    kept = aliased(Message)
    return sa.exists().where(kept.migration_id == Migration.id, kept.kind == kind)


#: What nobody has stood by (:mod:`sv2m.db.unanswered`). What an operator has aborted is none of it, and stays, with the
#: event that says so; nor is what was purged, for of that there is no Offer any more.
UNANSWERED = sa.and_(
    Migration.role == "destination", Migration.abort_requested.is_(False), _kept("Offer"), sa.not_(_kept("TokenAB"))
)
#: How much the newest measurement weighs in the smoothed rate.
_RATE_WEIGHT = 0.3


def create(session: Session, *, now: datetime | None = None, **values: Any) -> Migration:
    """Insert a migration that runs.

    :param values: columns of :class:`~sv2m.db.models.Migration`; at least id, role, peer, project_id, phase.
    :raises sv2m.errors.Conflict: this id, or a running migration of this server, is there already.
    """
    now = now or datetime.now(UTC)
    values.setdefault("status", "running")
    if values["status"] == "running":
        values.setdefault("running_server_id", values.get("server_id"))
    row = Migration(created_at=now, updated_at=now, **values)
    session.add(row)
    try:
        session.flush()
    except db_exc.DBDuplicateEntry as error:
        # The unique constraint decides between two callers who both found the server free.
        raise errors.Conflict(
            f"a migration of server {values.get('server_id')} is already running, or migration "
            f"{values.get('id')} exists",
            code="migration-exists",
            remedy="Look at it with: openstack secure migration list",
        ) from error
    audit.append(
        session,
        row.id,
        "created",
        now=now,
        role=row.role,
        peer=row.peer,
        phase=row.phase,
        server_id=row.server_id,
        project_id=row.project_id,
        user_id=row.user_id or None,
        request_id=(row.state or {}).get("request_id"),
    )
    return row


def get(session: Session, migration_id: str) -> Migration:
    """The migration of this id.

    :raises sv2m.errors.NotFound: there is none.
    """
    row = session.get(Migration, migration_id)
    if row is None:
        raise errors.NotFound(f"there is no migration {migration_id}")
    return row


def find(session: Session, migration_id: str) -> Migration | None:
    """The migration of this id, or None."""
    return session.get(Migration, migration_id)


def running_for_server(session: Session, server_id: str) -> Migration | None:
    """The migration that runs for this server in this cloud, or None."""
    return session.scalars(sa.select(Migration).where(Migration.running_server_id == server_id)).one_or_none()


def newest_of_server(session: Session, server_id: str) -> Migration:
    """The last migration that was begun for this server in this cloud, ended or not.

    :raises sqlalchemy.exc.NoResultFound: there is none.
    """
    query = sa.select(Migration).where(Migration.role == "source", Migration.server_id == server_id)
    return session.scalars(query.order_by(Migration.created_at.desc(), Migration.id.desc()).limit(1)).one()


def grants_of_server(session: Session, server_id: str) -> dict[str, bool]:
    """Whether SV2M's user is, or may be, on the access lists of a server's keys because SV2M has put it there.

    The newest migration from here that names a key counts: it has what those before it left, or took it back.

    :returns: by the key's reference in Barbican; keys of which no row tells are not there.
    """
    query = sa.select(Migration.state).where(Migration.role == "source", Migration.server_id == server_id)
    states = session.scalars(query.order_by(Migration.created_at, Migration.id))
    return {entry["secret_ref"]: entry["added"] for state in states for entry in (state or {}).get("acl", ())}


def list_page(
    session: Session,
    *,
    limit: int,
    marker: str | None = None,
    project_id: str | None = None,
    role: str | None = None,
    status: str | None = None,
    phase: str | None = None,
    server_id: str | None = None,
    peer: str | None = None,
    user_id: str | None = None,
    changes_since: datetime | None = None,
    ascending: bool = False,
) -> Sequence[Migration]:
    """Migrations, newest first.

    :param limit: how many at most.
    :param marker: id of the last one of the page before.
    :param changes_since: only those in which something has changed then or later.
    :param ascending: oldest first instead.
    :raises sv2m.errors.LocalError: no such marker.
    """
    query = sa.select(Migration)
    wanted = {
        Migration.project_id: project_id,
        Migration.role: role,
        Migration.status: status,
        Migration.server_id: server_id,
        Migration.peer: peer,
        Migration.phase: phase,
        Migration.user_id: user_id,
    }
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if changes_since is not None:
        query = query.where(Migration.updated_at >= changes_since)
    place = sa.tuple_(Migration.created_at, Migration.id)
    if marker is not None:
        last = session.get(Migration, marker)
        if last is None or (project_id is not None and last.project_id != project_id):
            raise errors.LocalError(f"marker {marker} is not a migration", code="invalid-marker")
        there = sa.tuple_(sa.literal(last.created_at, Migration.created_at.type), sa.literal(last.id))
        query = query.where(place > there if ascending else place < there)
    order = (Migration.created_at, Migration.id)
    query = query.order_by(*(order if ascending else (column.desc() for column in order)))
    return session.scalars(query.limit(limit)).all()


def list_unfinished(
    session: Session, role: str | None = None, due: datetime | None = None
) -> Sequence[Migration]:
    """Every migration for which something is left to do, oldest first: what recovery looks at.

    :param due: without those for which it is too early then.
    """
    query = sa.select(Migration).where(UNFINISHED)
    if role is not None:
        query = query.where(Migration.role == role)
    if due is not None:
        query = query.where(sa.or_(Migration.next_try_at.is_(None), Migration.next_try_at <= due))
    return session.scalars(query.order_by(Migration.created_at, Migration.id)).all()


def list_ended(session: Session, before: datetime) -> Sequence[Migration]:
    """Every migration that ended before a time, oldest first."""
    query = sa.select(Migration).where(Migration.status != "running", Migration.finished_at < before)
    return session.scalars(query.order_by(Migration.finished_at, Migration.id)).all()


def advance(
    session: Session,
    migration_id: str,
    phase_from: str,
    generation: int,
    phase_to: str,
    *,
    now: datetime | None = None,
    **values: Any,
) -> Migration:
    """Compare-and-swap: move on from (``phase_from``, ``generation``), or fail and change nothing.

    One UPDATE does comparison and change, so of two engines that try, one succeeds. ``phase_to`` may equal
    ``phase_from`` where only other columns change; ``generation`` grows by one all the same.

    :param values: further columns; ``state`` is replaced as a whole. A ``status`` other than running ends the
        migration: ``finished_at`` is filled in, the server becomes free for another one, and tidying begins.
    :raises sv2m.errors.PhaseConflict: it is no longer there; read it again.
    """
    now = now or datetime.now(UTC)
    if values.get("status", "running") != "running":
        values.setdefault("finished_at", now)
        values.setdefault("tidy_at", now)
        values["running_server_id"] = None
    changed = written(
        session,
        sa.update(Migration)
        .where(
            Migration.id == migration_id,
            Migration.phase == phase_from,
            Migration.generation == generation,
        )
        .values(phase=phase_to, generation=generation + 1, updated_at=now, **values),
    )
    if changed != 1:
        raise errors.PhaseConflict(
            f"migration {migration_id} is no longer in phase {phase_from}, generation {generation}"
        )
    row = session.get_one(Migration, migration_id, populate_existing=True)
    if phase_to != phase_from or "status" in values:
        told = {name: values.get(name) for name in ("status", "fault", "error_code")}
        moved = {"phase_from": phase_from, "phase": phase_to, "generation": row.generation, "by": row.owner}
        audit.append(session, migration_id, "phase", now=now, **moved, **told)
    return row


def request_abort(
    session: Session, migration_id: str, *, now: datetime | None = None, by: Mapping[str, Any] | None = None
) -> bool:
    """Leave word that the operator wants it aborted. Whether it still can be is the engine's to say.

    :param by: who, for the audit log.
    :returns: whether the migration still runs.
    """
    now = now or datetime.now(UTC)
    changed = written(
        session,
        sa.update(Migration)
        .where(Migration.id == migration_id, Migration.status == "running")
        .values(abort_requested=True, updated_at=now),
    )
    if changed:
        audit.append(session, migration_id, "abort-requested", now=now, **(by or {}))
    return changed == 1


def decide(
    session: Session,
    row: Migration,
    decision: Mapping[str, Any],
    *,
    now: datetime | None = None,
    by: Mapping[str, Any],
) -> Migration:
    """Write down what a person has decided, as long as the row is as they have seen it.

    :param decision: what the row's ``state`` gets: one entry, with ``kind`` and ``reason``.
    :param by: who, for the audit log.
    :raises sv2m.errors.PhaseConflict: it has moved on.
    """
    state = {**(row.state or {}), **decision}
    # What is kept of an ended migration is no new end of it.
    row = advance(session, row.id, row.phase, row.generation, row.phase, now=now, state=state)
    (said,) = decision.values()
    audit.append(
        session, row.id, "decided", now=now, role=row.role, kind=said["kind"], reason=said["reason"], **by
    )
    return row


def tell(
    session: Session, migration_id: str, error: Mapping[str, str], *, now: datetime | None = None
) -> bool:
    """Let a migration that has ended say what was found when it was over. Twice is once.

    Phase, generation and ``updated_at`` stay as they are: whoever still delivers a last word goes by these.

    :param error: the columns fault, error_code, error_message and error_remedy.
    :returns: whether it did not say so already.
    """
    code = error["error_code"]
    changed = written(
        session,
        sa.update(Migration)
        .where(
            Migration.id == migration_id,
            Migration.status != "running",
            # By whose fault as well: a peer may have called its refusal so.
            sa.or_(Migration.error_code.is_(None), Migration.error_code != code, Migration.fault != error["fault"]),
        )
        .values(**error),
    )
    if changed:
        status = session.get_one(Migration, migration_id, populate_existing=True).status
        audit.append(session, migration_id, "told", now=now, status=status, fault=error["fault"], error_code=code)
    return changed == 1


def record_progress(
    session: Session,
    migration_id: str,
    *,
    bytes_done: int,
    bytes_total: int,
    bytes_sent: int,
    now: datetime | None = None,
) -> None:
    """Store how far the data has come, and the rate at which it travels.

    The time that it takes is from the last look at which nothing had been sent to the last one at which more had been.
    Never touches phase or generation: it must not make the conductor's compare-and-swap fail.
    """
    now = now or datetime.now(UTC)
    row = session.get(Migration, migration_id, populate_existing=True)
    if row is None:
        return
    rate = row.rate
    if row.progress_at is not None and (seconds := (now - row.progress_at).total_seconds()) > 0:
        newest = max(0, bytes_sent - row.bytes_sent) / seconds
        rate = int(newest if not rate else rate + _RATE_WEIGHT * (newest - rate))
    written(
        session,
        sa.update(Migration)
        .where(Migration.id == migration_id)
        .values(
            bytes_done=bytes_done,
            bytes_total=bytes_total,
            bytes_sent=bytes_sent,
            rate=rate,
            progress_at=now if bytes_sent != row.bytes_sent or not bytes_sent else row.progress_at,
            sending_from=(row.progress_at or now) if bytes_sent and not row.bytes_sent else row.sending_from,
            updated_at=now,
        ),
    )


def claim(session: Session, migration_id: str, owner: str, now: datetime, stale_after: timedelta) -> bool:
    """Take an unfinished migration over, if it is nobody's, ours already, or its owner has been silent too long.

    One UPDATE: of two engines that want it, one gets it.

    :param stale_after: how long an owner may be silent.
    :returns: whether it is ours now.
    """
    changed = written(
        session,
        sa.update(Migration)
        .where(
            Migration.id == migration_id,
            UNFINISHED,
            sa.or_(
                Migration.owner.is_(None),
                Migration.owner == owner,
                Migration.owner_seen_at.is_(None),
                Migration.owner_seen_at < now - stale_after,
            ),
        )
        .values(owner=owner, owner_seen_at=now),
    )
    return changed == 1


def heartbeat(session: Session, owner: str, migration_ids: Collection[str], now: datetime) -> int:
    """Say that ``owner`` still works on these migrations; what is another's meanwhile stays its.

    :returns: how many these are.
    """
    mine = sa.update(Migration).where(
        Migration.id.in_(sorted(migration_ids)),
        Migration.owner == owner,
        # What was let go of since its ids were collected is anybody's.
        Migration.owner_seen_at.is_not(None),
        UNFINISHED,
    )
    return written(session, mine.values(owner_seen_at=now))


def let_go(session: Session, migration_id: str, owner: str) -> None:
    """``owner`` does not work on it any more: whoever wants it may take it at once.

    Its name stays: what is next written of the migration is by the engine that last worked on it, until one takes it.
    """
    mine = sa.update(Migration).where(Migration.id == migration_id, Migration.owner == owner)
    written(session, mine.values(owner_seen_at=None))


def disown(session: Session, owner: str) -> int:
    """Let go of everything that ``owner`` works on, at a clean stop.

    :returns: how many these were.
    """
    return written(
        session,
        sa.update(Migration).where(Migration.owner == owner).values(owner=None, owner_seen_at=None),
    )


def list_to_tidy(session: Session, now: datetime) -> Sequence[Migration]:
    """Ended migrations after which it is time to tidy, those first that wait longest."""
    query = sa.select(Migration).where(Migration.tidy_at <= now)
    return session.scalars(query.order_by(Migration.tidy_at, Migration.id)).all()


def take_tidying(session: Session, migration_id: str, now: datetime, again: datetime) -> bool:
    """Take it on to tidy after a migration now; if nothing more is said, it is due again at ``again``.

    One UPDATE: of two engines that want it, one gets it. Phase and generation stay as they are, and so does
    ``updated_at``: whoever still delivers a last word goes by these.

    :returns: whether it is ours.
    """
    due = sa.update(Migration).where(Migration.id == migration_id, Migration.tidy_at <= now)
    return written(session, due.values(tidy_at=again)) == 1


def tidied(session: Session, migration_id: str) -> None:
    """Nothing is left to tidy after this migration."""
    written(session, sa.update(Migration).where(Migration.id == migration_id).values(tidy_at=None))


def next_vm_generation(session: Session, server_id: str, *, now: datetime | None = None) -> int:
    """The generation that the next offer of this server carries.

    It grows with every attempt of this cloud, and with the clock, so that it also grows for a VM that went
    away and came back under another id or from another cloud's count.
    """
    last = session.scalar(
        sa.select(sa.func.max(Migration.vm_generation)).where(
            Migration.role == "source", Migration.server_id == server_id
        )
    )
    return max((last or 0) + 1, int((now or datetime.now(UTC)).timestamp()))
