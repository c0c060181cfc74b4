# SPDX-License-Identifier: Apache-2.0
"""After a migration has ended: what a service did for it too late is undone.

What changes something is asked of a service once. If no answer comes, the migration is given up and everything that is
there is removed; but the service may still have the request in hand, or in a queue, and carry it out when nobody looks
any more. So the removing is repeated for a while, less and less often, driven by the row, so that a restart of the
engine does not end it. Only what bears this very migration's id is touched.

At A it is also the time at which Nova notices that a server had ended (:mod:`sv2m.engine.losing`). When that time is
over, a migration whose source never answered our challenge is forgotten altogether.

A server that has arrived is never touched. Nor is anything else but the session's keys and the blank image after a
migration that arrived whole: its server, volume and port are their owner's, and bear other marks.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from oslo_config import cfg

from sv2m import errors
from sv2m.db import engine as database
from sv2m.db import migrations, unanswered
from sv2m.db.models import Migration
from sv2m.engine import decisions, landing, losing
from sv2m.engine.forgetting import disks_of
from sv2m.engine.marking import locked_by
from sv2m.engine.services import Services
from sv2m.rounds import Rounds

LOG = logging.getLogger(__name__)

#: From one look at a migration to the next: as long as it has been over, within these.
_SHORTEST, _LONGEST = timedelta(seconds=30), timedelta(hours=1)
#: After this a look that still fails is the last one.
_ENOUGH = timedelta(days=1)
#: After how many it is tidied up at the same time.
_AT_ONCE = 8


class Tidying(Rounds):
    """Looks after the migrations that have ended in the last minutes, each in a thread of its own: Nova takes its time.

    Some at a time; a server that may stand still, because Nova began our pause too late, waits for no other.
    """

    def __init__(self, conf: cfg.ConfigOpts, services: Services) -> None:
        super().__init__("Tidying up after migrations", conf.engine.heartbeat)
        self._time = timedelta(seconds=conf.engine.tidying_time)
        self._services = services
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._in_hand: dict[str, threading.Thread] = {}

    def look(self, now: datetime | None = None) -> None:
        """Begin to tidy up after each migration for which it is time. :meth:`wait` waits until that is done."""
        now = now or datetime.now(UTC)
        with database.session() as session:
            rows = migrations.list_to_tidy(session, now)
        self._in_hand = {one: thread for one, thread in self._in_hand.items() if thread.is_alive()}
        for row in rows:
            if row.id not in self._in_hand and not self._stop.is_set():
                thread = threading.Thread(target=self._in_turn, args=[row, now], name=f"tidying-{row.id}")
                self._in_hand[row.id] = thread
                thread.start()

    def wait(self) -> None:
        """Wait for everything that was begun."""
        for thread in list(self._in_hand.values()):
            thread.join()

    def stop(self) -> None:
        """Wait for what is under way, and look no more."""
        super().stop()
        self.wait()

    def _in_turn(self, row: Migration, now: datetime) -> None:
        with contextlib.nullcontext() if _may_stand_still(row) else self._turns, self.each(f"Migration {row.id}"):
            if not self._stop.is_set():
                self._look_after(row, now)

    def _look_after(self, row: Migration, now: datetime) -> None:
        ended = row.finished_at or row.updated_at
        over = now - ended
        again = now + min(_LONGEST, max(_SHORTEST, over))
        if over < self._time:
            again = min(again, ended + self._time)
        with database.session() as session:
            if not migrations.take_tidying(session, row.id, now, again):
                return
        try:
            tidy(self._services, row)
        except Exception as error:
            # Whatever it is, it keeps nobody from tidying up after the other migrations.
            LOG.warning("Migration %s: tidying up after it failed: %s", row.id, error, exc_info=_unforeseen(error))
            if over < _ENOUGH:
                return
            LOG.error("Migration %s: something that was made for it too late may be left", row.id)
        if over >= self._time:
            with database.session() as session:
                if unanswered.remove(session, row.id):
                    LOG.info("Migration %s: %s never stood by its offer; it is forgotten", row.id, row.peer)
                else:
                    migrations.tidied(session, row.id)


def tidy(services: Services, row: Migration) -> None:
    """Remove once more what a migration that has ended must not leave. May be repeated.

    :raises sv2m.errors.SV2MError: a service failed, or a key could not be deleted.
    """
    if row.role == "source":
        if _may_stand_still(row):
            _let_run(services, row)
        _forget_keys(services, row)
        if row.status != "completed":
            losing.look(services, row)
    elif (row.state or {}).get("held"):
        # Before the room was held nothing was made.
        if row.status != "completed":
            _remove_place(services, row)
        services.volumes.delete_blank_image(row.id)
        _forget_keys(services, row)


def _may_stand_still(row: Migration) -> bool:
    """Whether a server that was given back to its owner at A may have been locked, or paused, by us since."""
    state = row.state or {}
    return row.role == "source" and row.status != "completed" and bool(state.get("stopped") or state.get("locked"))


def _let_run(services: Services, row: Migration) -> None:
    """At A: Nova began the pause, or the lock, when the server had been given back to its owner already."""
    servers, timeout = services.servers, services.conf.engine.landing_timeout
    try:
        server = servers.settle(row.server_id or "", timeout)
    except errors.NotFound:
        return
    if server["locked"] and not locked_by(row, server):
        # An operator's, or another migration's, of which a database that was restored need not know: that one may have
        # given the server away.
        return
    with database.session() as session:
        if migrations.running_for_server(session, server["id"]) is not None:
            return
    stopped = row.state.get("stopped") and row.state["found"] == "ACTIVE"
    if stopped and server["status"] == "PAUSED" and servers.paused_by_us(server["id"]):
        LOG.warning("Migration %s: server %s was paused when it was over; it goes on", row.id, server["id"])
        servers.unpause(server["id"])
        servers.wait_for(server["id"], {"ACTIVE"}, timeout)
    if server["locked"]:
        servers.unlock(server["id"])


def _remove_place(services: Services, row: Migration) -> None:
    """At B: placeholder, volume, port, and the EIK in transit, if they came too late."""
    servers, timeout = services.servers, services.conf.engine.landing_timeout
    if landing.find_arrived(services, row):
        landing.hand_over(services, row)
        return
    if row.error_code == landing.ARRIVED_BEFORE:
        return
    if decisions.declares_lost(row):
        # When its host comes back, what is left of the guest there goes; or it runs, and somebody has to hear of it.
        landing.abort_guest(services, _context(row), row)
    for server_id in landing.find_placeholders(services, row):
        LOG.warning("Migration %s: placeholder %s was made when it was over; it is removed", row.id, server_id)
        servers.delete(server_id, timeout)
    services.km.remove_imported(_context(row), row.id, row.project_id)
    services.ports.delete_for(row.id, row.project_id)


def _forget_keys(services: Services, row: Migration) -> None:
    left = services.km.forget(_context(row), row.id, disks_of(row))["left"]
    if left:
        raise errors.KeyManagerError(f"{len(left)} keys could not be deleted, among them {min(left)}")


def _context(row: Migration) -> dict[str, Any]:
    return {"migration_id": row.id, "request_id": f"migration-{row.id}"}


def _unforeseen(error: Exception) -> bool:
    return not isinstance(error, errors.SV2MError)
