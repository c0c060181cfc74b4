# SPDX-License-Identifier: Apache-2.0
"""A guest runs again after its state was sealed, and nobody tells the agent: it lets go of the guest by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from sv2m.agent import cleanup
from sv2m.agent.jobs import Jobs
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


def test_what_nobody_foresaw_keeps_no_other_from_being_let_go(tmp_path: Path) -> None:
    host, other = Host(tmp_path / "one", "precopy"), Host(tmp_path / "other", "precopy")
    for one in (host, other):
        one.source.undo.side_effect = HypervisorError("libvirt is away")
    host.jobs.all.return_value = [host.begin(), other.begin()]
    host.source.undo.side_effect, other.source.undo.side_effect = OSError("the file system is read-only"), None
    cleanup.Undoing(host.jobs).look()
    assert (host.noted, other.noted) == ([MIGRATION], [])


def test_an_abort_that_meets_another_undoes_once(tmp_path: Path) -> None:
    host = Host(tmp_path, "precopy")
    host.source.undo.side_effect = HypervisorError("libvirt is away")
    job = host.begin()
    begun, go_on, under_way = threading.Event(), threading.Event(), []

    def undo() -> None:
        under_way.append(len(under_way))
        begun.set()
        assert go_on.wait(60)

    host.source.undo.side_effect = undo
    threads = [threading.Thread(target=job.abort) for _ in range(2)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert (under_way, host.noted) == ([0], [])


def test_a_new_migration_of_the_server_waits_until_the_last_one_has_let_go_of_it(tmp_path: Path) -> None:
    """Later the old one would cancel in QEMU what the new one has begun."""
    host = Host(tmp_path, "precopy")
    host.source.undo.side_effect = HypervisorError("libvirt is away")
    owing = host.begin()
    options, keys, receiver = mock.MagicMock(), mock.MagicMock(), mock.MagicMock()
    jobs = Jobs(
        hypervisor=host.hypervisor, keys=keys, journal=host.journal, receiver=receiver, advertised="b", options=options
    )
    jobs.add(owing)
    spec = mock.MagicMock(server_id=SERVER)
    new = "7b2f9f1f-65b7-4d37-9f1f-7d7be2d2d8b6"
    with pytest.raises(HypervisorError, match="away"):
        jobs.start_source(new, spec)
    assert jobs.status(new).state == "unknown"
    host.source.undo.side_effect = None
    with mock.patch.object(SourceJob, "start"):
        jobs.start_source(new, spec)
    assert not owing.owes
    assert host.noted == [new]
