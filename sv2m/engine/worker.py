# SPDX-License-Identifier: Apache-2.0
"""Threads that carry migrations along their flow, one thread a migration, until somebody else has the next word."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import oslo_messaging
from oslo_db import exception as db_exc

from sv2m import errors, protocol, rpc
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.engine import flow
from sv2m.engine.asking import Stopping
from sv2m.engine.services import Services
from sv2m.engine.telling import Later
from sv2m.engine.work import Work, failure

LOG = logging.getLogger(__name__)

_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


class _MakeWay(Exception):
    """Others wait for this thread; recovery comes back to this migration."""


class Workers:
    """The pool.

    :param owner: this engine's name in the rows that it works on.
    """

    def __init__(self, services: Callable[[], Services], owner: str, threads: int, stale_after: timedelta) -> None:
        self._services = services
        self._owner = owner
        self._threads = threads
        self._stale_after = stale_after
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[str, Future[None]] = {}
        self._again: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Make the threads."""
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="migration")

    def stop(self) -> None:
        """Let steps under way end at their next wait; the rows say where to go on."""
        self._stopping.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        with database.session() as session:
            migrations.disown(session, self._owner)

    @property
    def stopping(self) -> threading.Event:
        """Set when the engine stops."""
        return self._stopping

    def work_on(self, migration_id: str) -> Future[None]:
        """Carry this migration on. If somebody in this process already does, he looks once more when he is done."""
        with self._lock:
            running = self._running.get(migration_id)
            if running is not None:
                self._again.add(migration_id)
                return running
            if self._pool is None or self._stopping.is_set():
                raise errors.HostError("this engine is stopping", code="stopping")
            future = self._pool.submit(self._run, migration_id)
            self._running[migration_id] = future
            return future

    def _run(self, migration_id: str) -> None:
        try:
            while True:
                self._carry(migration_id)
                with self._lock:
                    if migration_id not in self._again or self._stopping.is_set():
                        del self._running[migration_id]
                        self._again.discard(migration_id)
                        return
                    self._again.discard(migration_id)
        except Stopping:
            LOG.info("Migration %s: left to whoever comes next", migration_id)
        except _MakeWay:
            LOG.info("Migration %s: later again, others wait", migration_id)
        except Exception:
            LOG.exception("Migration %s: its worker failed; recovery will take it up", migration_id)
        with self._lock:
            self._running.pop(migration_id, None)
            self._again.discard(migration_id)

    def _crowded(self) -> bool:
        with self._lock:
            return len(self._running) > self._threads

    def _claim(self, migration_id: str) -> bool:
        with database.session() as session:
            return migrations.claim(session, migration_id, self._owner, datetime.now(UTC), self._stale_after)

    def _carry(self, migration_id: str) -> None:
        if not self._claim(migration_id):
            return
        work = Work(self._services(), migration_id, self._stopping)
        rpc.logged_as(work.context["request_id"])
        pause = _PAUSE
        # Claimed again for each step: whoever was taken for dead while a step held him up leaves the rest to his heir.
        while not self._stopping.is_set() and self._claim(migration_id):
            work.reload()
            step = flow.step(work.row.role, work.row.phase)
            if step is None:
                return
            LOG.info("Migration %s (%s): %s, asking %s", work.id, work.row.role, work.row.phase, step.asks)
            try:
                step.do(work)
                pause = _PAUSE
            except (Stopping, errors.PhaseConflict):
                # Somebody else moved the row on, or the engine stops: the row is the truth, read it again.
                continue
            except Later:
                return
            except Exception as error:
                shown = error if isinstance(error, errors.SV2MError) else _unexpected(work, error)
                if step.may_fail:
                    give_up(work, shown)
                    continue
                LOG.warning("Migration %s: %s failed: %s (%s)", work.id, work.row.phase, shown, shown.code)
                if self._crowded():
                    # A peer that is away, or a host that is gone, must not keep the others' migrations waiting.
                    raise _MakeWay from error
                LOG.warning("Migration %s: again in %.0f s", work.id, pause)
                self._stopping.wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)


def give_up(work: Work, error: errors.SV2MError) -> None:
    """Send a migration to its undoing, and tell the operator why.

    :raises IllegalTransition: it is past the point at which this side may give up.
    """
    LOG.warning("Migration %s: giving up in %s: %s (%s)", work.id, work.row.phase, error, error.code)
    # A fresh machine: the failed step may have moved the one in hand before it failed.
    failed_in = work.row.phase
    work.reload()
    if work.row.phase != failed_in:
        LOG.info("Migration %s: it is in %s already", work.id, work.row.phase)
        return
    work.machine.local(protocol.Failed(error.code))
    try:
        work.commit(**failure(error))
    except errors.PhaseConflict:
        LOG.info("Migration %s: somebody else moved it on meanwhile", work.id)


def _unexpected(work: Work, error: Exception) -> errors.SV2MError:
    LOG.exception("Migration %s: unexpected failure in %s", work.id, work.row.phase)
    if isinstance(error, oslo_messaging.MessagingException):
        return errors.ServiceUnavailable(
            f"a module of this cloud's engine was asked in phase {work.row.phase} and did not answer "
            f"({type(error).__name__}): it, or the message broker, was away"
        )
    if isinstance(error, db_exc.DBError):
        return errors.ServiceUnavailable(
            f"the database of this cloud's SV2M failed in phase {work.row.phase} ({type(error).__name__})"
        )
    return errors.SV2MError(f"{type(error).__name__} in phase {work.row.phase}; the engine's log has the rest")
