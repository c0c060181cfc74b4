# SPDX-License-Identifier: Apache-2.0
"""What a restarted agent does about the jobs of the process before it, and about what could not be undone at once.

A sealed source and a restored destination are taken up again: the one waits to be asked whether the guest is
unchanged, the other was promised to A. A sealed source whose guest has run again is undone: the migration was
withdrawn while no agent was there to be told. Every other job is undone, since its keys were in the dead process
only.
"""

from __future__ import annotations

from oslo_log import log

from sv2m.agent.destination import KEPT, DestinationJob
from sv2m.agent.hypervisor import Hypervisor
from sv2m.agent.job import Job
from sv2m.agent.jobs import Jobs
from sv2m.agent.journal import Journal
from sv2m.agent.source import SourceJob
from sv2m.edm import ports
from sv2m.errors import AgentLost, Conflict, SV2MError
from sv2m.rounds import Rounds
from sv2m.transfer.receiver import Receiver

LOG = log.getLogger(__name__)

_LOST = AgentLost("the agent was restarted in the middle of this migration")


def take_up(jobs: Jobs, hypervisor: Hypervisor, journal: Journal, receiver: Receiver) -> None:
    """Go through the journal. A job that cannot be undone now stays in it, and may be aborted again."""
    for migration_id, entry in list(journal.entries()):
        job: Job
        lost: SV2MError | None
        if entry["role"] == SourceJob.role:
            job = SourceJob.adopt(migration_id, entry, hypervisor, journal)
            lost = _spoilt(job) if job.state == ports.SEALED else _LOST
        else:
            job = DestinationJob.adopt(migration_id, entry, hypervisor, journal, receiver)
            lost = None if job.state in KEPT else _LOST
        LOG.info("Migration %s: %s, %s: %s", migration_id, job.role, job.state, "undone" if lost else "kept")
        if lost is not None:
            job.give_up(lost)
        jobs.add(job)


def _spoilt(job: SourceJob) -> SV2MError | None:
    """Why what is sealed is not the newest state of the guest any more; None: it is, or that cannot be seen now."""
    try:
        job.check_unchanged()
    except Conflict as error:
        return error
    except SV2MError as error:
        LOG.warning("Migration %s: whether the guest has run since it was sealed: %s", job.migration_id, error)
    return None


class Undoing(Rounds):
    """Undoes again what could not be undone, because libvirt or QEMU did not answer just then.

    The engine does not wait for it: the server goes on at A, the other cloud is told, and nobody asks this agent again.

    :param interval: seconds between two tries.
    """

    def __init__(self, jobs: Jobs, interval: float = 15.0) -> None:
        super().__init__("Undoing what is left of migrations", interval)
        self._jobs = jobs

    def look(self) -> None:
        """Try once more."""
        for job in self._jobs.all():
            if job.owes:
                try:
                    job.abort()
                except SV2MError as error:
                    LOG.warning("Migration %s: still not undone on this host: %s", job.migration_id, error)
                except Exception:
                    # Whatever it is, those behind it are undone all the same.
                    LOG.exception("Migration %s: still not undone on this host", job.migration_id)
                else:
                    LOG.info("Migration %s: undone on this host at last", job.migration_id)
