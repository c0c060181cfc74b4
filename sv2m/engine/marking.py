# SPDX-License-Identifier: Apache-2.0
"""At A, outside SV2M's database: the locks of a server that leaves, and the mark of one that has been released.

A database that was restored from a backup is older than the truth, and may believe of a migration that it can still be
withdrawn, when B runs the server already. So before B is asked with the Release, the server's lock in Nova gets a
reason that says so, and whoever is about to let a server run at A, or to send it again, reads it first.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from sv2m import errors
from sv2m.db.models import Migration
from sv2m.engine.work import Work, failure

LOG = logging.getLogger(__name__)

#: The reason of the lock of a server that is being moved: its owner reads it, and may end it.
LOCK_REASON = "SV2M migration {id} is under way; openstack secure migration abort {id} ends it; to {peer}"
#: The reason of the lock of a server that B may be running.
REASON = "SV2M migration {id} released to {peer}"
#: Characters of a reason that Nova takes.
_LONGEST = 255
_RELEASED = re.compile(r"SV2M migration (\S+) released ")
#: The error code where a server must not run here, although the database knows nothing of its release.
RELEASED_BEFORE = "released-before"
#: Phases that follow from B's signature alone, that it does not run the server, and never will; or from a person's.
_TAKEN_BACK = ("returning", "returned", "reclaiming", "reporting", "reclaimed")


def locked_by(row: Migration, server: dict[str, Any]) -> bool:
    """Whether a server's lock is this migration's, and takes nothing away from anybody when it is taken off.

    The lock of a released server is, when B has signed that it does not run it. Before, only that signature says so.

    :param server: from :class:`sv2m.engine.ports.Servers`.
    """
    texts = (LOCK_REASON, REASON) if row.phase in _TAKEN_BACK else (LOCK_REASON,)
    return bool(server["locked"]) and server["lock_reason"] in [lock_reason(text, row) for text in texts]


def lock_reason(text: str, row: Migration) -> str:
    """What stands at a server as the reason of its lock: ``text`` for this migration, as far as Nova takes it."""
    return text.format(id=row.id, peer=row.peer)[:_LONGEST]


def lock(work: Work) -> None:
    """Lock a server before anything of it is read, so that its owner plugs in, resizes and reboots nothing meanwhile.

    Written down first: whoever undoes this must know of it. May be repeated.

    :raises ServerNotMovable: somebody else has locked it.
    :raises HostError: it has been released, by a migration of which this database does not know.
    """
    server = work.services.servers.get(work.row.server_id or "")
    check_not_released(work, server)
    check_not_locked(work, server)
    if not work.state.get("locked"):
        work.remember(locked=True)
    work.services.servers.lock(server["id"], lock_reason(LOCK_REASON, work.row))


def unlock(work: Work) -> None:
    """Take off the lock that :func:`lock` set, and no other. May be repeated.

    :raises NotFound: there is no such server.
    """
    server = work.services.servers.get(work.row.server_id or "")
    if locked_by(work.row, server):
        work.services.servers.unlock(server["id"])


def check_not_locked(work: Work, server: dict[str, Any]) -> None:
    """:raises ServerNotMovable: somebody else has locked a server, and so means it to be left alone."""
    if server["locked"] and not locked_by(work.row, server):
        reason = f"with the reason: {server['lock_reason']}" if server["lock_reason"] else "without a reason"
        raise errors.ServerNotMovable(
            f"server {server['id']} is locked, {reason}",
            code="server-locked",
            remedy="Ask whoever locked it; unlock it (openstack server unlock), and try again.",
        )


def mark_released(work: Work) -> None:
    """Write at the server that it is B's. May be repeated.

    Nova's failure keeps B from nothing: this is a safeguard against one mistake of people, and the commit is durable
    without it. It is tried again each time that B is asked.
    """
    if work.state.get("marked"):
        return
    server_id = work.row.server_id or ""
    try:
        work.services.servers.lock(server_id, lock_reason(REASON, work.row))
        marked = released_by(work.services.servers.get(server_id)) == work.id
    except errors.SV2MError as error:
        LOG.warning("Migration %s: server %s is not marked as released: %s", work.id, server_id, error)
        return
    if not marked:
        LOG.warning("Migration %s: Nova did not take the mark that server %s is released", work.id, server_id)
    work.remember(marked=True)


def released_by(server: dict[str, Any]) -> str | None:
    """The id of the migration that has released a server, if its lock says that one has.

    :param server: from :class:`sv2m.engine.ports.Servers`.
    """
    found = _RELEASED.match(server["lock_reason"] or "")
    return found[1] if found else None


def check_not_released(work: Work, server: dict[str, Any]) -> None:
    """Before a server runs at A, or is sent from there, in a phase in which it has not been released.

    :raises HostError: its lock says that it was; the migration's error says so, too.
    """
    by = released_by(server)
    if by is None:
        return
    error = errors.HostError(
        f"server {server['id']} was released by migration {by}. This database, restored from a backup, does not know "
        "of it; the server may run at the peer, and is left as it is",
        code=RELEASED_BEFORE,
        remedy="Ask the peer's operators; see doc/operating.md, Backup and restore.",
    )
    if work.row.error_code != RELEASED_BEFORE:
        work.note(**failure(error))
    raise error
