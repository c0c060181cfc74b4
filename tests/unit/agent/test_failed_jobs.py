# SPDX-License-Identifier: Apache-2.0
"""A job that has failed says why to whoever wants something of it."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from sv2m.agent.journal import Journal
from sv2m.agent.source import SourceJob
from sv2m.errors import AgentLost

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
