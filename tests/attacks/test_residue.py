# SPDX-License-Identifier: Apache-2.0
"""What is left at the receiving side, who can read it, and what stands before the guest runs."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sv2m.agent.journal import Journal
from sv2m.agent.libvirt.fifo import FifoWriter
from sv2m.db import engine
from tests.attacks.cloud_b import CloudB
from tests.protocol import clouds


@pytest.fixture
def careless() -> Iterator[None]:
    """Whoever started the agent did not think of a umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_what_the_agent_writes_is_its_own(tmp_path: Path, careless: None) -> None:
    journal = Journal(tmp_path / "agent")
    journal.start()
    journal.write(clouds.MIGRATION, {"role": "destination"})
    workdir = journal.workdir(clouds.MIGRATION)
    for path in (tmp_path / "agent").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    journal.remove(clouds.MIGRATION)
    assert not workdir.exists()
    assert [path for path in (tmp_path / "agent").rglob("*") if path.is_file()] == []


def test_a_state_directory_that_stands_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir(mode=0o755)
    (tmp_path / "agent").chmod(0o777)
    Journal(tmp_path / "agent").start()
    assert stat.S_IMODE((tmp_path / "agent").stat().st_mode) == 0o700


def test_the_fifo_through_which_the_guest_comes_is_nobody_elses(tmp_path: Path, careless: None) -> None:
    fifo = FifoWriter(tmp_path / "restore.fifo", lambda: None)
    fifo.make()
    assert stat.S_IMODE((tmp_path / "restore.fifo").stat().st_mode) == 0o600
    fifo.close()
    assert not (tmp_path / "restore.fifo").exists()


def test_a_fifo_that_somebody_put_there_is_not_used(tmp_path: Path) -> None:
    """Not a symbolic link, not a file: what is there goes first."""
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "restore.fifo").symlink_to(tmp_path / "elsewhere")
    fifo = FifoWriter(tmp_path / "restore.fifo", lambda: None)
    fifo.make()
    assert stat.S_ISFIFO((tmp_path / "restore.fifo").lstat().st_mode)
    assert (tmp_path / "elsewhere").read_text() == ""
    fifo.close()


@pytest.mark.parametrize("hostile", ["../../etc/cron.d/x", "x/../../y", "", "0" * 36])
def test_a_migration_id_that_is_a_path_names_no_file(tmp_path: Path, hostile: str) -> None:
    journal = Journal(tmp_path / "agent")
    journal.start()
    with pytest.raises(ValueError, match="badly formed"):
        journal.write(hostile, {})
    with pytest.raises(ValueError, match="badly formed"):
        journal.workdir(hostile)


def test_the_port_stands_before_the_guest_runs(b: CloudB) -> None:
    """Which groups Neutron puts on it only Neutron shows: tests/cloud/test_migration.py. Nothing here names any."""
    b.source.run()
    calls = b.recorder.calls
    order = [calls.index(call) for call in ("ports.create", "servers.create_placeholder", "edm.resume")]
    assert order == sorted(order)
    asked = b.nova.servers[b.row.server_id]["asked"]
    assert asked["port_ids"] == ["port-" + b.row.needs["nics"][0]["mac"]]
    assert [key for key in asked if "group" in key or "network" in key] == [], "Nova makes no port of its own"


def test_the_placeholder_is_locked_until_the_guest_is_its_owners(b: CloudB) -> None:
    b.source.run("Transfer")
    (server,) = b.nova.servers.values()
    assert (server["status"], server["locked"], b.agent.runs) == ("SUSPENDED", True, 0)
    b.source.run()
    assert not server["locked"]


def test_nothing_of_the_vm_is_in_bs_database_but_references(b: CloudB) -> None:
    b.source.run("Transfer")
    for needle in (clouds.VMK, clouds.EIK):
        for form in (needle, needle.hex().encode(), base64.b64encode(needle)[:-4]):
            assert form not in Path(engine.current().url.database or "").read_bytes()
