# SPDX-License-Identifier: Apache-2.0
"""``sv2m-manage audit verify`` and ``sv2m-manage evidence status | retimestamp | purge``."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from oslo_config import cfg
from sqlalchemy.orm import Session

from sv2m import errors
from sv2m.api import evidence as evidence_files
from sv2m.db import audit, engine, messages, migrations, owing, peers, timestamps
from sv2m.db.models import AuditChain, Migration
from sv2m.engine import retention
from sv2m.engine.authority import TimestampAuthority
from sv2m.evidence import chain, verifier
from sv2m.evidence.folder import SUMMARY, Folder
from sv2m.evidence.stamps import ROOTS
from sv2m.evidence.timestamps import anchors

_LISTED = 1000


def add_parsers(subparsers: Any) -> None:
    """Add the commands."""
    log = subparsers.add_parser("audit", help="The audit log.").add_subparsers(dest="action")
    log.required = True
    check = log.add_parser("verify", help="Check every chain, or one. The exit status is 1 when anything is off.")
    check.add_argument("subject", nargs="?", metavar="ID", help="Of one migration or agreement only.")
    check.set_defaults(func=lambda conf: verify(conf.command.subject))

    kept = subparsers.add_parser("evidence", help="The evidence of migrations.").add_subparsers(dest="action")
    kept.required = True
    status = kept.add_parser("status", help="List what has no timestamp yet, and why. The exit status is then 1.")
    status.set_defaults(func=status_of)
    again = kept.add_parser(
        "retimestamp", help="Stamp all evidence of ended migrations again, with the timestamps that it has."
    )
    again.add_argument("--before", metavar="DATE", help="Only where the newest timestamp is older (YYYY-MM-DD).")
    again.set_defaults(func=lambda conf: retimestamp(conf, conf.command.before))
    away = kept.add_parser("purge", help="Remove evidence that nobody can ask for any more. The ledger stays.")
    away.add_argument("--before", metavar="DATE", required=True, help="Of migrations that ended earlier (YYYY-MM-DD).")
    away.add_argument("--dry-run", action="store_true", help="Only say what would be removed.")
    away.set_defaults(func=lambda conf: purge(conf, conf.command.before, dry_run=conf.command.dry_run))


def verify(subject: str | None) -> int:
    """Check the audit log: each chain in itself, with its end, with the documents kept, and with the migration."""
    with engine.session() as session:
        ends = [one for one in audit.subjects(session) if subject in {None, one.subject}]
        if subject is not None and not ends:
            raise errors.NotFound(f"there is no audit log of {errors.shown(subject)}")
    faults, events = 0, 0
    for end in ends:
        with engine.session() as session:
            found, count = _faults(session, end)
        events += count
        faults += len(found)
        for fault in found:
            print(f"{end.subject}: {fault}")
    print(f"{len(ends)} logs, {events} events, {faults} faults")
    return 1 if faults else 0


def _faults(session: Session, end: AuditChain) -> tuple[list[str], int]:
    lines = [event.line for event in audit.list_for(session, end.subject)]
    log = chain.read(lines, end.subject)
    found = list(log.faults)
    if not found and (not log.events or (log.events[-1]["number"], log.digest) != (end.number, end.digest.hex())):
        found.append("events at its end are missing")
    told = {event["kind"]: event["sha384"] for event in log.events if event["action"] == "document"}
    if log.events and log.events[0]["action"] == "created":
        kept = {one.kind: hashlib.sha384(one.document) for one in messages.list_for(session, end.subject)}
        digests = {kind: digest.hexdigest() for kind, digest in kept.items()}
        found += [
            f"{kind} is not what the log tells of"
            for kind in sorted(digests.keys() & told.keys())
            if digests[kind] != told[kind]
        ]
        found += [f"the log does not tell of {kind}" for kind in sorted(digests.keys() - told.keys())]
        found += [f"the log tells of {kind}, which is not kept" for kind in sorted(told.keys() - digests.keys())]
    row = migrations.find(session, end.subject)
    phases = [event["phase"] for event in log.events if event["action"] in ("created", "phase") and "phase" in event]
    if row is not None and phases and phases[-1] != row.phase:
        found.append(f"the migration is {row.phase}, its log says {phases[-1]}")
    return found, len(lines)


def status_of(conf: cfg.ConfigOpts) -> int:
    """What has no timestamp yet, and why."""
    if not conf.evidence.tsa_url:
        print("no timestamp authority is configured ([evidence] tsa_url)")
        return 0
    with engine.session() as session:
        rows = timestamps.pending(session, _LISTED)
    for row in rows:
        due = f"{row.due_at:%Y-%m-%d %H:%M}" if row.due_at else "-"
        print(f"{row.migration_id}  {row.covers}  tried {row.attempts} times, again {due} UTC  {row.error or ''}")
    print(f"{len(rows)} timestamps are missing")
    return 1 if rows else 0


def retimestamp(conf: cfg.ConfigOpts, before: str | None) -> int:
    """Stamp the evidence of ended migrations again."""
    authority = TimestampAuthority.of(conf)
    if authority is None:
        raise errors.ConfigurationError("no timestamp authority is configured: [evidence] tsa_url")
    limit = _date(before) if before else datetime.now(UTC)
    failed = done = 0
    for row in _ended(datetime.now(UTC)):
        with engine.session() as session:
            kept = _kept(session, row, conf.cloud_name)
            end = next((one for one in audit.subjects(session) if one.subject == row.id), None)
            faults = _faults(session, end)[0] if end is not None else []
        newest = max((one.stamped_at for one in kept.timestamps if one.stamped_at is not None), default=None)
        if not kept.documents or (newest is not None and newest >= limit):
            continue
        if faults:
            # A new timestamp would only make it look older than its faults.
            print(f"{row.id}: not stamped: {faults[0]}")
            failed += 1
            continue
        try:
            check = _no_worse_than(kept)
            at = retention.restamp(row, evidence_files.files(kept), authority, _operator(), check)
        except errors.SV2MError as error:
            print(f"{row.id}: not stamped: {error}")
            failed += 1
            continue
        print(f"{row.id}: stamped at {at:%Y-%m-%d %H:%M:%S} UTC")
        done += 1
    print(f"{done} stamped, {failed} failed")
    return 1 if failed else 0


def purge(conf: cfg.ConfigOpts, before: str, *, dry_run: bool) -> int:
    """Remove the evidence of migrations that ended earlier, where that is safe."""
    limit = _date(before)
    youngest = datetime.now(UTC) - timedelta(days=conf.evidence.retention_days)
    if limit > youngest:
        raise errors.LocalError(
            f"evidence is kept until {youngest:%Y-%m-%d} at least ([evidence] retention_days)",
            code="retention",
            remedy="Name an earlier date.",
        )
    done = 0
    for row in _ended(limit):
        with engine.session() as session:
            documents = len(messages.list_for(session, row.id))
            asked = owing.may_be_asked(session, row.id)
        why = retention.why_kept(row, limit, asked=asked)
        if not documents:
            continue
        if why is not None:
            print(f"{row.id}: kept: {why}")
            continue
        if not dry_run:
            retention.purge(row, _operator())
        print(f"{row.id}: {'would be purged' if dry_run else 'purged'}: {documents} documents")
        done += 1
    print(f"{done} migrations")
    return 0


def _ended(before: datetime) -> Sequence[Migration]:
    with engine.session() as session:
        return migrations.list_ended(session, before)


def _kept(session: Session, row: Migration, cloud_name: str) -> evidence_files.Kept:
    return evidence_files.Kept(
        row,
        messages.list_for(session, row.id),
        peers.find(session, row.peer),
        timestamps.list_for(session, row.id),
        audit.list_for(session, row.id),
        cloud_name,
    )


def _no_worse_than(kept: evidence_files.Kept) -> Callable[[Session], None]:
    """Whoever is shown the evidence then finds nothing off that is not off now: no timestamp can be taken back."""
    before = _off(kept)

    def check(session: Session) -> None:
        now = _off(_kept(session, kept.row, kept.cloud_name))
        worse = [f"{name}: {text}" for name, text in now.items() if name not in before]
        if worse:
            raise errors.ConfigurationError(f"with this timestamp the evidence would be off: {worse[0]}")

    return check


def _off(kept: evidence_files.Kept) -> dict[str, str]:
    """What somebody who is shown this evidence today finds off: the first fault of each file.

    The roots are the copies beside it: this cloud itself has trusted them. Without any there is nothing to tell it by.
    """
    files = {**evidence_files.files(kept), SUMMARY: evidence_files.summary(kept)}
    roots, of_time = (anchors(files[one]) if one in files else [] for one in ("certificates/ca.pem", ROOTS))
    found: dict[str, str] = {}
    if roots:
        for one in verifier.verify(Folder(kept.row.id, files), roots, of_time or None).report.bad:
            found.setdefault(one.subject, one.text)
    return found


def _date(value: str) -> datetime:
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise errors.LocalError(f"{errors.shown(value)} is not a date: YYYY-MM-DD") from error


def _operator() -> str:
    return f"sv2m-manage:{getpass.getuser()}"
