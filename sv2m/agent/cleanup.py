# SPDX-License-Identifier: Apache-2.0
"""What a restarted agent does about the jobs of the process before it.

A sealed source and a restored destination are taken up again: the one waits to be asked whether the guest is
unchanged, the other was promised to A. Every other job is undone, since its keys were in the dead process
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
from sv2m.errors import AgentLost
from sv2m.transfer.receiver import Receiver

LOG = log.getLogger(__name__)

_LOST = AgentLost("the agent was restarted in the middle of this migration")


def take_up(jobs: Jobs, hypervisor: Hypervisor, journal: Journal, receiver: Receiver) -> None:
    """Go through the journal. A job that cannot be undone now stays in it, and may be aborted again."""
    for migration_id, entry in list(journal.entries()):
        job: Job
        if entry["role"] == SourceJob.role:
            job = SourceJob.adopt(migration_id, entry, hypervisor, journal)
            goes_on = job.state == ports.SEALED
        else:
            job = DestinationJob.adopt(migration_id, entry, hypervisor, journal, receiver)
            goes_on = job.state in KEPT
        LOG.info("Migration %s: %s, %s: %s", migration_id, job.role, job.state, "kept" if goes_on else "undone")
        if not goes_on:
            job.give_up(_LOST)
        jobs.add(job)
