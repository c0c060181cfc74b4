# SPDX-License-Identifier: Apache-2.0
"""A job that has failed says why to whoever wants something of it."""

from __future__ import annotations

import uuid
from pathlib import Path
from unittest import mock

import pytest

from sv2m.agent.jobs import Jobs
from sv2m.agent.journal import Journal
from sv2m.agent.source import SourceJob, SourceOptions
from sv2m.edm.spec import DestinationSpec
from sv2m.errors import AgentLost, Conflict, HypervisorError
from sv2m.transfer.receiver import Receiver

MIGRATION = "6a1f8f0e-54a6-4c26-8f0f-6c6ad1c1c7a5"


def test_what_an_agent_lost_with_its_process_is_the_reason_for_all_that_follows(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start()
    entry = {"role": "source", "server_id": "5b0e7a4f-3a6c-4d92-9a4e-3f2f8f4c9d10", "state": "precopy"}
    journal.write(MIGRATION, entry)
    job = SourceJob.adopt(MIGRATION, entry, mock.MagicMock(), journal)
    job.give_up(AgentLost("the agent was restarted"))
    assert job.state == "failed"
    for wanted in (job.stop_and_finish, job.manifest, job.check_unchanged):
        with pytest.raises(AgentLost, match="restarted"):
            wanted()


class Refusing:
    """A host whose placeholders never fit."""

    def landing(self, server_id: str, workdir: Path) -> mock.MagicMock:
        landing = mock.MagicMock()
        landing.check.side_effect = Conflict("it does not fit")
        return landing


def test_failures_cost_the_same_memory_however_many_there_are(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start()
    jobs = Jobs(
        hypervisor=Refusing(),  # type: ignore[arg-type]
        keys=mock.MagicMock(),
        journal=journal,
        receiver=Receiver(("127.0.0.1", 0)),
        advertised="b",
        options=SourceOptions(),
    )
    spec = DestinationSpec("server", bytes(48), "vmk", {}, (), {}, 60)
    ids = [str(uuid.UUID(int=number)) for number in range(500)]
    for migration_id in ids:
        with pytest.raises(Conflict, match="does not fit"):
            jobs.start_destination(migration_id, spec)
    assert len(jobs.all()) <= 201
    # Why the last ones failed is still known; the first are as those that never were.
    assert (jobs.status(ids[-1]).error or {})["message"] == "it does not fit"
    assert jobs.status(ids[0]).state == "unknown"
    assert list(journal.entries()) == []


def test_what_is_not_undone_yet_is_never_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start()
    hypervisor = mock.MagicMock()
    jobs = Jobs(
        hypervisor=hypervisor,
        keys=mock.MagicMock(),
        journal=journal,
        receiver=Receiver(("127.0.0.1", 0)),
        advertised="b",
        options=SourceOptions(),
    )
    landing = hypervisor.landing.return_value
    landing.check.side_effect = Conflict("it does not fit")
    landing.undo.side_effect = HypervisorError("libvirt does not answer")
    for number in range(300):
        with pytest.raises(Conflict):
            jobs.start_destination(
                str(uuid.UUID(int=number)), DestinationSpec("server", bytes(48), "vmk", {}, (), {}, 60)
            )
    assert sum(job.owes for job in jobs.all()) == 300


def test_a_job_that_was_undone_holds_nothing_of_what_it_sent(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start()
    entry = {"role": "source", "server_id": "s", "state": "sealed", "manifest": "x" * 1000, "totals": []}
    job = SourceJob.adopt(MIGRATION, entry, mock.MagicMock(), journal)
    assert len(job.manifest()[0]) == 1000
    job.abort()
    assert (job._manifest, job.ended) == (b"", True)
