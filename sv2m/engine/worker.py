# SPDX-License-Identifier: Apache-2.0
"""Threads that carry migrations along their flow, one thread a migration, until somebody else has the next word.

A migration has its thread for as long as this engine carries it, so nobody waits for a thread: not a guest that stands
still for others' pre-copies, and not a landing for a peer that is slow to answer. Only what has not begun queues for
one of a number of places (:mod:`sv2m.engine.places`; which that is :mod:`sv2m.engine.flow` says), and has no thread
meanwhile; nor does this engine own it, so that another one, which has a place, may take it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta

import oslo_messaging
from oslo_db import exception as db_exc
from sqlalchemy.orm import Session

from sv2m import errors, protocol, rpc
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.db.models import Migration
from sv2m.engine import flow
from sv2m.engine.asking import Stopping
from sv2m.engine.places import Places
from sv2m.engine.services import Services
from sv2m.engine.telling import Later
from sv2m.engine.work import Aborted, Work, failure

LOG = logging.getLogger(__name__)

_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
#: Seconds for which a step that may fail is done again because somebody did not answer: module, service, broker or
#: database. While a guest stands still, it soon goes on where it was instead.
_PATIENCE, _PATIENCE_STOPPED = 300.0, 45.0


class _Queue(Exception):
    """The next step needs a place, and none is free."""


@dataclass(eq=False)
class _Carried:
    """A migration that this engine works on, or that queues.

    ``thread`` carries it, None while it queues; ``again`` says that it is looked at once more before the thread ends,
    ``owned`` that the row says that this engine works on it.
    """

    id: str
    peer: str
    done: Future[None] = field(default_factory=Future)
    thread: threading.Thread | None = None
    again: bool = False
    owned: bool = False


class Workers:
    """The threads.

    :param owner: this engine's name in the rows that it works on.
    :param places: how many migrations it begins at the same time.
    """

    def __init__(self, services: Callable[[], Services], owner: str, places: int, stale_after: timedelta) -> None:
        self._services = services
        self._owner = owner
        self._stale_after = stale_after
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._places = Places(places)
        self._carried: dict[str, _Carried] = {}
        self._started = False

    def start(self) -> None:
        """Begin to take migrations."""
        self._started = True

    def stop(self) -> None:
        """Let steps under way end at their next wait; the rows say where to go on."""
        self._stopping.set()
        with self._lock:
            for migration_id in self._places.clear():
                self._forget(migration_id)
            threads = [one.thread for one in self._carried.values() if one.thread is not None]
        for thread in threads:
            thread.join()
        database.transaction(lambda session: migrations.disown(session, self._owner))

    @property
    def stopping(self) -> threading.Event:
        """Set when the engine stops."""
        return self._stopping

    @property
    def owned(self) -> list[str]:
        """The migrations that have a thread here: those of which this engine may say that it works on them."""
        with self._lock:
            return [one.id for one in self._carried.values() if one.owned]

    def work_on(self, migration_id: str) -> Future[None]:
        """Carry this migration on. If this process already does, it looks once more when it is done.

        :returns: what is done when the migration goes no further here.
        :raises HostError: the engine stops, or can start no thread more.
        :raises NotFound: there is no such migration.
        """
        row = database.transaction(lambda session: migrations.get(session, migration_id))
        with self._lock:
            if self._stopping.is_set() or not self._started:
                raise errors.HostError("this engine is stopping", code="stopping")
            carried = self._carried.setdefault(migration_id, _Carried(migration_id, row.peer))
            if carried.thread is not None:
                carried.again = True
            elif _queues(row):
                self._places.ask(migration_id, row.peer)
            else:
                # It may have moved on since it began to queue.
                self._places.leave(migration_id)
                self._begin(carried)
            self._fill()
        return carried.done

    def _fill(self) -> None:
        """Give free places to those who wait for one. The lock is held."""
        for migration_id in () if self._stopping.is_set() else self._places.give():
            carried = self._carried[migration_id]
            if carried.thread is None:
                try:
                    self._begin(carried)
                except errors.HostError as error:
                    LOG.error("Migration %s: %s; recovery will take it up", migration_id, error)

    def _begin(self, carried: _Carried) -> None:
        thread = threading.Thread(target=self._run, args=[carried], name=f"migration-{carried.id}")
        try:
            thread.start()
        except RuntimeError as error:
            self._forget(carried.id)
            raise errors.HostError(f"this engine can start no thread more: {error}") from error
        carried.thread = thread

    def _forget(self, migration_id: str) -> None:
        self._places.leave(migration_id)
        carried = self._carried.pop(migration_id, None)
        if carried is not None and not carried.done.done():
            carried.done.set_result(None)

    def _run(self, carried: _Carried) -> None:
        queues = False
        try:
            self._carry(carried)
        except Stopping:
            LOG.info("Migration %s: left to whoever comes next", carried.id)
        except _Queue:
            queues = True
        except Exception:
            LOG.exception("Migration %s: its worker failed; recovery will take it up", carried.id)
        except BaseException as error:
            # The process ends.
            carried.owned = False
            carried.done.set_exception(error)
        self._let_go(carried)
        with self._lock:
            self._end(carried, queues=queues)

    def _end(self, carried: _Carried, *, queues: bool) -> None:
        """A thread's last deed: the migration queues, is looked at once more, or is nobody's. The lock is held."""
        self._places.leave(carried.id)
        again, carried.again, carried.thread = carried.again, False, None
        if self._stopping.is_set() or carried.done.done() or not (again or queues):
            self._forget(carried.id)
        elif queues:
            self._places.ask(carried.id, carried.peer)
        else:
            self._begin(carried)
        self._fill()

    def _claim(self, carried: _Carried) -> bool:
        def claim(session: Session) -> bool:
            return migrations.claim(session, carried.id, self._owner, database.now(session), self._stale_after)

        carried.owned = database.transaction(claim)
        return carried.owned

    def _let_go(self, carried: _Carried) -> None:
        """Whoever has the next word, or another engine that hears it, finds nobody in the way."""
        owned, carried.owned = carried.owned, False
        if not owned:
            return
        try:
            database.transaction(lambda session: migrations.let_go(session, carried.id, self._owner))
        except Exception as error:
            LOG.warning("Migration %s: others wait until we are silent for long enough: %s", carried.id, error)

    def _take_place(self, carried: _Carried, step: flow.Step) -> None:
        """Keep to the rule of :attr:`sv2m.engine.flow.Step.queues`.

        :raises _Queue: the step needs a place, and there is none.
        """
        with self._lock:
            if step.queues:
                self._places.ask(carried.id, carried.peer)
                self._fill()
                if self._places.waits(carried.id):
                    raise _Queue
            elif self._places.has(carried.id):
                self._places.leave(carried.id)
                self._fill()

    def _carry(self, carried: _Carried) -> None:
        if not self._claim(carried):
            return
        work = Work(self._services(), carried.id, self._stopping)
        rpc.logged_as(work.context["request_id"])
        pause, failing = _PAUSE, 0.0
        # Claimed again for each step: whoever was taken for dead while a step held him up leaves the rest to his heir.
        while not self._stopping.is_set() and self._claim(carried):
            work.reload()
            step = flow.step(work.row.role, work.row.phase)
            if step is None:
                return
            self._take_place(carried, step)
            LOG.info("Migration %s (%s): %s, asking %s", work.id, work.row.role, work.row.phase, step.asks)
            try:
                step.do(work)
                pause, failing = _PAUSE, 0.0
            except (Stopping, errors.PhaseConflict):
                # Somebody else moved the row on, or the engine stops: the row is the truth, read it again.
                continue
            except Later:
                return
            except Exception as error:
                shown = error if isinstance(error, errors.SV2MError) else _unexpected(work, error)
                failing = failing or time.monotonic()
                if step.may_fail and not _may_pass(step, work.row, shown, time.monotonic() - failing):
                    give_up(work, shown)
                    continue
                failed = (work.id, work.row.phase, shown, shown.code, pause)
                LOG.warning("Migration %s: %s failed: %s (%s); again in %.0f s", *failed)
                self._stopping.wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)


def _queues(row: Migration) -> bool:
    step = flow.step(row.role, row.phase)
    return step is not None and step.queues


def _may_pass(step: flow.Step, row: Migration, error: errors.SV2MError, lasts: float) -> bool:
    """Whether a failure of a step is likely to be over soon, and worth waiting for: hours may have been copied by now.

    :param lasts: seconds since the step first failed.
    """
    silence = isinstance(error, errors.ServiceUnavailable | errors.AgentSilent)
    return silence and not step.queues and lasts < (_PATIENCE_STOPPED if flow.stands_still(row) else _PATIENCE)


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
    if work.row.abort_requested and not isinstance(error, Aborted):
        # It was asked for before anything failed, and has come to the same.
        error = Aborted(f"the operator asked for an abort; meanwhile: {error}")
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
