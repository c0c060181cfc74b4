# SPDX-License-Identifier: Apache-2.0
"""A guest runs again after its state was sealed, and nobody tells the agent: it lets go of the guest by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from sv2m.agent import cleanup
from sv2m.agent.journal import Journal
from sv2m.agent.source import SourceJob
from sv2m.errors import Conflict, HypervisorError, NotFound, SV2MError

MIGRATION = "6a1f8f0e-54a6-4c26-8f0f-6c6ad1c1c7a5"
SERVER = "5b0e7a4f-3a6c-4d92-9a4e-3f2f8f4c9d10"
RAN = Conflict("server has run since its state was taken (QEMU says running)")


class Host:
    """A host whose agent begins, and finds a source in its journal."""

    def __init__(self, directory: Path, state: str) -> None:
        self.journal = Journal(directory)
        self.journal.start()
        self.journal.write(MIGRATION, {"role": "source", "server_id": SERVER, "state": state})
        self.source, self.hypervisor, self.jobs = mock.MagicMock(), mock.MagicMock(), mock.MagicMock()
        self.hypervisor.source.side_effect = self._open

    def _open(self, server_id: str, tag: str, workdir: Path, resumed: Callable[[], None]) -> Any:
        self.resume = resumed
        return self.source

    def begin(self) -> SourceJob:
        cleanup.take_up(self.jobs, self.hypervisor, self.journal, mock.MagicMock())
        (job,) = self.jobs.add.call_args.args
        assert isinstance(job, SourceJob)
        return job

    @property
    def noted(self) -> list[str]:
        return [migration_id for migration_id, _ in self.journal.entries()]


def test_a_guest_that_ran_while_no_agent_was_there_is_let_go(tmp_path: Path) -> None:
    host = Host(tmp_path, "sealed")
    host.source.check_unchanged.side_effect = RAN
    job = host.begin()
    assert job.state == "failed"
    host.source.undo.assert_called_once_with()
    assert host.noted == []
    with pytest.raises(Conflict, match="has run"):
        job.check_unchanged()
    job.abort()
    host.source.undo.assert_called_once_with()


@pytest.mark.parametrize("error", [None, HypervisorError("libvirt is away"), NotFound("no such domain")])
def test_what_may_still_be_good_is_kept(tmp_path: Path, error: SV2MError | None) -> None:
    host = Host(tmp_path, "sealed")
    host.source.check_unchanged.side_effect = error
    assert host.begin().state == "sealed"
    host.source.undo.assert_not_called()
    assert host.noted == [MIGRATION]


def test_what_cannot_be_let_go_now_stays_in_the_journal(tmp_path: Path) -> None:
    host = Host(tmp_path, "sealed")
    host.source.check_unchanged.side_effect = RAN
    host.source.undo.side_effect = HypervisorError("QEMU does not answer")
    assert host.begin().state == "failed"
    assert host.noted == [MIGRATION]


def test_a_guest_that_runs_before_the_agents_eyes_is_let_go_at_once(tmp_path: Path) -> None:
    host = Host(tmp_path, "sealed")
    job = host.begin()
    before = job.status().sequence
    host.resume()
    assert job.wait(before, 60).state == "failed"
    host.source.undo.assert_called_once_with()
    assert host.noted == []
    with pytest.raises(Conflict, match="run after its state was sealed"):
        job.manifest()


def test_a_guest_that_runs_before_it_is_sealed_is_nobodys_business(tmp_path: Path) -> None:
    host = Host(tmp_path, "precopy")
    entry = {"role": "source", "server_id": SERVER, "state": "precopy"}
    job = SourceJob.adopt(MIGRATION, entry, host.hypervisor, host.journal)
    host.resume()
    assert job.state == "precopy"
    host.source.cancel.assert_not_called()


def test_what_could_not_be_let_go_is_let_go_later_though_nobody_asks_again(tmp_path: Path) -> None:
    host = Host(tmp_path, "precopy")
    host.source.undo.side_effect = HypervisorError("libvirt is away")
    job = host.begin()
    assert (job.state, job.owes, host.noted) == ("failed", True, [MIGRATION])
    host.jobs.all.return_value = [job]
    undoing = cleanup.Undoing(host.jobs)
    undoing.look()
    assert host.noted == [MIGRATION]
    host.source.undo.side_effect = None
    undoing.look()
    assert (job.owes, host.noted) == (False, [])
    tries = host.source.undo.call_count
    undoing.look()
    assert host.source.undo.call_count == tries
