# SPDX-License-Identifier: Apache-2.0
"""How long evidence is kept, and what keeps it good for that long (doc/evidence.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from sv2m.db import audit, messages, timestamps
from sv2m.db import engine as database
from sv2m.db.models import Migration
from sv2m.engine.stamping import Authority
from sv2m.evidence.stamps import ROOTS, listing_of
from sv2m.protocol import states

#: Copies of root certificates: who checks brings his own, and an agreement's may change.
_NOT_STAMPED = (ROOTS, "certificates/ca.pem")


def why_kept(row: Migration, before: datetime, *, asked: bool) -> str | None:
    """Why the evidence of a migration must not be purged; None: it may be.

    The rule: nothing that a peer may still ask for. A repeats its Release until it hears the Receipt, however long
    that takes, and B can answer only from what it has kept; A's Closure is the proof that it has heard.

    :param before: what ended later is kept.
    :param asked: whether the source may still ask (:func:`sv2m.db.owing.may_be_asked`).
    """
    if row.status == "running" or row.phase not in states.FINAL[row.role]:
        return f"it is {row.phase}: something is left to do"
    if row.finished_at is None or row.finished_at >= before:
        return "it ended later"
    if asked:
        return "the source has not confirmed by its Closure that it knows the outcome, and may still ask"
    return None


def purge(row: Migration, by: str) -> tuple[int, int]:
    """Remove documents, timestamps and audit events of a migration, and say so in its log.

    The migration's row stays, and the ledger, which is what refuses a replay, is never touched.

    :param by: who, for the audit log.
    :returns: how many documents and timestamps there were.
    """
    with database.session() as session:
        # The event comes first: it takes the end of the chain, and carries the digest of what is removed.
        audit.append(session, row.id, "purged", by=by)
        (end,) = (chain for chain in audit.subjects(session) if chain.subject == row.id)
        stamped = timestamps.remove(session, row.id)
        documents = messages.remove(session, row.id)
        audit.remove(session, row.id, end.number - 1)
    return documents, stamped


def restamp(
    row: Migration,
    files: Mapping[str, bytes],
    authority: Authority,
    by: str,
    check: Callable[[Session], None] = lambda session: None,
) -> datetime:
    """An archive timestamp over everything that was kept, earlier timestamps included (in the manner of RFC 4998).

    :param files: the evidence, by file name.
    :param by: who, for the audit log.
    :param check: looks at what is kept then, before it is committed: what it raises undoes it.
    :returns: the authority's time.
    :raises sv2m.errors.SV2MError: there is no good answer, or ``check`` found fault; nothing was written.
    """
    listing = listing_of({name: data for name, data in files.items() if name not in _NOT_STAMPED})
    ca_pem = authority.ca_pem
    response, stamp = authority.stamp(listing.encode())
    with database.session() as session:
        # In the same transaction as the event, whose chain only one writer has at a time: no number is given twice.
        digest = hashlib.sha512(listing.encode()).hexdigest()
        audit.append(session, row.id, "archived", by=by, sha512=digest)
        before = [one for one in timestamps.list_for(session, row.id) if one.covers.startswith(timestamps.ARCHIVE)]
        covers = f"{timestamps.ARCHIVE}{len(before) + 1}"
        timestamps.archive(session, row.id, covers, listing=listing, response=response, at=stamp.at, ca_pem=ca_pem)
        check(session)
    return stamp.at
