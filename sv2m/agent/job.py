# SPDX-License-Identifier: Apache-2.0
"""What every job has: a state with a sequence number that can be waited for, progress, and an end."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import Any

from oslo_log import log

from sv2m.agent.journal import Journal
from sv2m.edm import ports
from sv2m.edm.ports import Status
from sv2m.errors import HostError, SV2MError

LOG = log.getLogger(__name__)

#: Code of the error that an abort leaves.
ABORTED = "aborted"
#: Seconds between two changes of the sequence number that are only about bytes.
_PROGRESS_EVERY = 0.5


class Job(ABC):
    """One side of one migration on this host. The methods that RPC calls may be called by several threads."""

    role = ""

    def __init__(self, migration_id: str, server_id: str, state: str, journal: Journal) -> None:
        self.migration_id = migration_id
        self.server_id = server_id
        self._journal = journal
        self._condition = threading.Condition()
        self._state = state
        self._sequence = 1
        self._error: SV2MError | None = None
        self._bytes_total = 0
        self._bytes_done = 0
        self._bytes_sent = 0
        self._told = 0.0
        #: Whether the hypervisor is as it was before this job.
        self._undone = False
        self._undoing = threading.Lock()

    @property
    def owes(self) -> bool:
        """Whether it has failed, and something of it is still in the hypervisor: the undoing failed as well."""
        with self._condition:
            return self._state == ports.FAILED and not self._undone

    @property
    def ended(self) -> bool:
        """Whether it has failed, and nothing of it is left."""
        with self._condition:
            return self._state == ports.FAILED and self._undone

    @property
    def state(self) -> str:
        """One of the states of :mod:`sv2m.edm.ports`."""
        with self._condition:
            return self._state

    def status(self) -> Status:
        """Where the job is."""
        with self._condition:
            error = self._error if self._state == ports.FAILED else None
            return Status(
                self._state,
                self._bytes_total,
                self._bytes_done,
                self._bytes_sent,
                {"code": error.code, "message": error.message, "remedy": error.remedy} if error else None,
                self._sequence,
            )

    def wait(self, sequence: int, timeout: float) -> Status:
        """Where the job is, as soon as its sequence number is another than ``sequence``."""
        with self._condition:
            self._condition.wait_for(lambda: self._sequence != sequence, timeout)
            return self.status()

    @abstractmethod
    def give_up(self, error: SV2MError) -> None:
        """End the job because of ``error``, whatever it is doing.

        It is failed, and undone if possible, then.
        """

    def abort(self) -> None:
        """Undo everything. May be repeated. :raises SV2MError: something could not be undone."""
        self.give_up(HostError("the transfer was aborted", code=ABORTED))
        self._undo_once()
        self._shed()
        self._journal.remove(self.migration_id)

    @abstractmethod
    def forget(self) -> None:
        """The migration is over on this host; only what nobody needs any more is removed."""

    @abstractmethod
    def _entry(self) -> dict[str, Any]:
        """What the journal must say beside role, server and state."""

    @abstractmethod
    def _undo(self) -> None:
        """Bring the hypervisor back to where it was. May be repeated. :raises SV2MError: it did not work."""

    @abstractmethod
    def _shed(self) -> None:
        """Let go of what a job that failed, and was undone, needs no more: it is remembered for its error alone."""

    def _become(self, state: str) -> None:
        """Enter a state. It is in the journal before anybody can see it."""
        with self._condition:
            if self._error is not None:
                raise self._error
            self._write(state)
            self._state = state
            self._news()

    def _raise_why_failed(self) -> None:
        """The operator is to read what went wrong, not that something did. :raises SV2MError: the job has failed."""
        with self._condition:
            if self._state == ports.FAILED and self._error is not None:
                raise self._error

    def _doom(self, error: SV2MError) -> SV2MError:
        """The job will end in failure. The first error stays, and is returned."""
        with self._condition:
            if self._error is None:
                self._error = error
            self._condition.notify_all()
            return self._error

    def _write(self, state: str) -> None:
        entry = {"role": self.role, "server_id": self.server_id, "state": state, **self._entry()}
        self._journal.write(self.migration_id, entry)

    def _progress(self, done: int = 0, more: int = 0, sent: int = 0) -> None:
        """``done`` bytes of disks and memory were dealt with, ``more`` turned out to be there, ``sent`` travelled."""
        with self._condition:
            self._bytes_done += done
            self._bytes_sent += sent
            # At B nobody says how much of a disk comes once more.
            self._bytes_total = max(self._bytes_total + more, self._bytes_done)
            now = time.monotonic()
            if now - self._told >= _PROGRESS_EVERY:
                self._told = now
                self._news()

    def _news(self) -> None:
        """The condition is held."""
        self._sequence += 1
        self._condition.notify_all()

    def _end_in_failure(self, error: SV2MError) -> None:
        """Undo, then say so: whoever sees ``failed`` finds the host as it was. The first error stays."""
        first = self._doom(error)
        try:
            self._undo_once()
        except SV2MError as problem:
            LOG.error("Migration %s: undoing on this host: %s", self.migration_id, problem)
        except Exception:
            LOG.exception("Migration %s: undoing on this host", self.migration_id)
        if first.code != ABORTED:
            LOG.error("Migration %s: %s (%s)", self.migration_id, first, first.code)
        if self._undone:
            self._journal.remove(self.migration_id)
        with self._condition:
            self._state = ports.FAILED
            # What it was raised in had keys and content of the VM in its hands; the job is remembered for what it says.
            first.__traceback__ = first.__context__ = first.__cause__ = None
            if self._undone:
                self._shed()
            self._news()

    def _undo_once(self) -> None:
        """One at a time: an engine's abort may meet the agent's own next try."""
        with self._undoing:
            if not self._undone:
                self._undo()
                self._undone = True

    @staticmethod
    def _unexpected(what: str) -> HostError:
        """For an exception that is none of ours; its text may hold anything, and so stays in the log."""
        LOG.exception("the agent failed: %s", what)
        return HostError(f"the agent failed {what}; its log has the details")
