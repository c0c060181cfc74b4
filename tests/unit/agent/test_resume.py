# SPDX-License-Identifier: Apache-2.0
"""B's agent lets the guest run: whatever kills it, nobody may ever say of a guest that has run that it never did."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from sv2m.agent.destination import DestinationJob
from sv2m.agent.journal import Journal
from sv2m.errors import Conflict, HypervisorError

MIGRATION = "6a1f8f0e-54a6-4c26-8f0f-6c6ad1c1c7a5"
SERVER = "5b0e7a4f-3a6c-4d92-9a4e-3f2f8f4c9d10"


class Killed(BaseException):
    """SIGKILL."""


class Host:
    """A host on whose disk the journal is, and on which one agent follows another."""

    def __init__(self, directory: Path) -> None:
        self.journal = Journal(directory)
        self.journal.start()
        self.journal.write(MIGRATION, {"role": "destination", "server_id": SERVER, "state": "restored"})
        self.landing = mock.MagicMock()

    @property
    def noted(self) -> str:
        return str(dict(self.journal.entries())[MIGRATION]["state"])

    def agent(self) -> DestinationJob:
        hypervisor = mock.MagicMock()
        hypervisor.landing.return_value = self.landing
        entry = dict(self.journal.entries())[MIGRATION]
        return DestinationJob.adopt(MIGRATION, entry, hypervisor, self.journal, mock.MagicMock())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_that_it_may_run_is_written_down_before_it_runs(host: Host) -> None:
    host.landing.resume.side_effect = lambda: noted.append(host.noted)
    noted: list[str] = []
    host.agent().resume(SERVER)
    assert noted == ["running"]


def test_an_agent_killed_just_before_or_just_after_it_runs_knows_that_it_may_have_run(host: Host) -> None:
    host.landing.resume.side_effect = Killed
    with pytest.raises(Killed):
        host.agent().resume(SERVER)
    heir = host.agent()
    assert heir.state == "running"
    with pytest.raises(Conflict, match="runs here already"):
        heir.give_up(HypervisorError("undo it"))
    host.landing.resume.side_effect = None
    heir.resume(SERVER)
    assert host.landing.resume.call_count == 2, "the one that was killed may not have got that far"


def test_a_guest_that_is_gone_before_it_could_run_never_ran(host: Host) -> None:
    host.landing.check_restored.side_effect = HypervisorError("gone", code="restored-guest-gone")
    with pytest.raises(HypervisorError, match="gone"):
        host.agent().resume(SERVER)
    assert host.noted == "restored"
    host.landing.resume.assert_not_called()
