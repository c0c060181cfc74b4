# SPDX-License-Identifier: Apache-2.0
"""What a restart does: look at every migration that still runs, and carry on from what its row says.

There is no other recovery code. Each step of :mod:`sv2m.engine.flow` may be repeated, so "go on" and "recover" are
the same thing; this file only finds what nobody carries, and what waits for a peer that will not come back.
"""

from __future__ import annotations

import functools
import itertools
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from oslo_config import cfg
from sqlalchemy.orm import Session

from sv2m import errors
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.db.models import Migration
from sv2m.engine import flow
from sv2m.engine.services import Services
from sv2m.engine.work import Aborted, Work
from sv2m.engine.worker import Workers, give_up
from sv2m.rounds import Rounds

LOG = logging.getLogger(__name__)

#: Looks from one sweep of held room to the next.
SWEEP_EVERY = 30
#: Ids in one statement.
_AT_A_TIME = 500
#: B's phases in which A has the next word, and in which B may still give up.
WAITING = ("challenged", "accepted", "receiving", "prepared")


class Heartbeat(Rounds):
    """Says of the migrations that this engine works on that it does, in a thread of its own: looks may take longer."""

    def __init__(self, conf: cfg.ConfigOpts, workers: Workers, owner: str) -> None:
        super().__init__("Saying that we work on our migrations", conf.engine.heartbeat)
        self._workers = workers
        self._owner = owner

    def look(self) -> None:
        """Say it, in pieces that no database finds too long; at once again where the database took long for it."""
        while True:
            began, owned = time.monotonic(), self._workers.owned
            for start in range(0, len(owned), _AT_A_TIME):
                database.transaction(functools.partial(self._say, owned[start : start + _AT_A_TIME]))
            if time.monotonic() - began < self._interval or self._stop.is_set():
                return

    def _say(self, owned: Sequence[str], session: Session) -> None:
        # The time is that of the try that succeeds, not of one that the database had wait.
        migrations.heartbeat(session, self._owner, owned, database.now(session))


class Recovery(Rounds):
    """Looks at the start and from time to time."""

    def __init__(self, conf: cfg.ConfigOpts, services: Services, workers: Workers) -> None:
        super().__init__("Looking for migrations to take up", conf.engine.heartbeat)
        self._conf = conf
        self._services = services
        self._workers = workers
        self._looks = itertools.count()

    def look(self) -> None:
        """Take up and give up what is due, and now and then look for room that nobody needs any more."""
        self.take_up()
        if next(self._looks) % SWEEP_EVERY == 0:
            # Room still held for a migration that has ended: left by an engine killed at the wrong moment.
            self._services.lmm.sweep({"request_id": "recovery"})

    def take_up(self, now: datetime | None = None) -> None:
        """Take up what nobody carries, first what stands still, and give up what waited for too long."""
        now = now or datetime.now(UTC)
        with database.session() as session:
            rows = migrations.list_unfinished(session, due=now)
        for row in sorted(rows, key=lambda one: not flow.stands_still(one)):
            if self._stop.is_set():
                return
            with self.each(f"Migration {row.id}"):
                self._take_up(row, now)

    def _take_up(self, row: Migration, now: datetime) -> None:
        if flow.step(row.role, row.phase) is not None:
            self._workers.work_on(row.id)
        elif row.role == "destination" and row.phase in WAITING:
            if row.abort_requested:
                self._give_up(row.id, Aborted("the operator of the destination asked for an abort"))
            elif now > self._patience_ends(row):
                self._give_up(row.id, _silent(row.phase))

    def _patience_ends(self, row: Migration) -> datetime:
        if row.phase == "challenged":
            ends: datetime = row.created_at + timedelta(seconds=self._conf.engine.exchange_lifetime)
        elif row.phase == "accepted":
            # A wraps keys now, which is quick; if it is gone, our room is not held for the offer's whole lifetime.
            ends = row.updated_at + timedelta(seconds=10 * self._conf.engine.exchange_lifetime)
        else:
            # A little longer than A's own patience: A withdraws first, and tells us.
            ends = (row.not_after or row.created_at) + timedelta(seconds=self._conf.engine.heartbeat)
        return ends

    def _give_up(self, migration_id: str, error: errors.SV2MError) -> None:
        give_up(Work(self._services, migration_id, self._workers.stopping), error)
        self._workers.work_on(migration_id)


def _silent(phase: str) -> errors.PeerUnreachable:
    return errors.PeerUnreachable(
        f"the source did not go on from {phase} in time", code="source-silent", remedy="Ask its operators why."
    )
