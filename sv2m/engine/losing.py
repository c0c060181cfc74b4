# SPDX-License-Identifier: Apache-2.0
"""At A: a server that ends under its migration takes its memory with it, and whoever reads the migration is told.

Nothing can be done about the memory: what B has of it is never run without a Release. The disks are whole, and Nova
stops the server where it was; but only some time after its QEMU's end, in the step that brings the server back, or
later. So it is looked for twice: in that step (:func:`note`, :func:`columns`), and for a while after the end
(:func:`look`). Nobody is told of what he did himself: of a server that was unlocked only that counts which Nova found
to have ended by itself.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from sv2m import errors
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.db.models import Migration
from sv2m.engine.marking import locked_by
from sv2m.engine.services import Services
from sv2m.engine.work import Work, failure

LOG = logging.getLogger(__name__)

_STOPPED = "SHUTOFF"
#: From a migration's end to when Nova has noticed that a QEMU ended before it. What ends later is its owner's.
_NOTICED = timedelta(minutes=2)


def note(work: Work, server: dict[str, Any]) -> None:
    """While a server is brought back, before it is unlocked: write down that it was found stopped.

    Before, because from the unlocking on its owner may start it, and a step that is done again finds nothing any more.
    Under our lock it is the server's own end, whoever caused it; only an administrator could have asked for it.

    :param server: from :class:`sv2m.engine.ports.Servers`, at rest.
    """
    if server["status"] == _STOPPED and locked_by(work.row, server):
        work.remember(memory_lost=True)


def columns(row: Migration) -> dict[str, str]:
    """What the row says of it when its server has been brought back; nothing where no memory was lost."""
    return _told(row) if (row.state or {}).get("memory_lost") else {}


def look(services: Services, row: Migration) -> None:
    """After a migration that left its server here: whether it is stopped, and nobody wanted that. May be repeated.

    :raises sv2m.errors.HostError: Nova failed.
    """
    # A peer may call its refusal what it likes: whether it was told of follows from whose fault it is, too.
    told = (row.fault, row.error_code) == (errors.MemoryLost.fault, errors.MemoryLost.code)
    if told or "found" not in (row.state or {}):
        return
    try:
        server = services.servers.get(row.server_id or "")
        ended = services.servers.ended_by_itself(server["id"]) if server["status"] == _STOPPED else None
    except errors.NotFound:
        return
    # Locked by somebody else it may be another migration's, which a restored database need not know.
    if ended is None or server["task_state"] is not None or server["locked"]:
        return
    if not row.created_at <= ended <= (row.finished_at or row.updated_at) + _NOTICED:
        return
    with database.session() as session:
        # The last migration of the server tells of it.
        if migrations.newest_of_server(session, server["id"]).id == row.id:
            migrations.tell(session, row.id, _told(row))


def _told(row: Migration) -> dict[str, str]:
    LOG.error("Migration %s: server %s has ended, and what was in its memory is lost", row.id, row.server_id)
    error = errors.MemoryLost(
        f"server {row.server_id} ended by itself and is stopped: what was in its memory is lost. Its disks are whole, "
        f"and it is where it was, unlocked. Until then the migration's error was: {row.error_message} "
        f"({row.error_code})",
        remedy=f"Start it with: openstack server start {row.server_id}. Why it ended, libvirt's and QEMU's logs on "
        f"{row.host or 'its host'} may say.",
    )
    return failure(error)
