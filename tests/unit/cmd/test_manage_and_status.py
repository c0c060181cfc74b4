# SPDX-License-Identifier: Apache-2.0
"""The operator's tools, as the operator runs them: each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from sv2m.db import certificates, engine, migrations, sync

Tool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/sv2m.sqlite?timeout=60"


@pytest.fixture
def tool(tmp_path: Path, database: str) -> Tool:
    configuration = tmp_path / "sv2m.conf"
    configuration.write_text(f"[DEFAULT]\ncloud_name = cloud-a.sv2m\n[database]\nconnection = {database}\n")

    def run(name: str, *arguments: str, conf: Path = configuration) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"sv2m.cmd.{name}", "--config-file", str(conf), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    return run


def test_db_sync_and_version(tool: Tool, database: str) -> None:
    before = tool("manage", "db", "version")
    assert (before.returncode, before.stdout) == (1, "empty\n")
    assert tool("manage", "db", "sync").stdout == f"schema: empty -> {sync.head()}\n"
    again = tool("manage", "db", "sync")
    assert (again.returncode, again.stdout) == (0, f"schema: {sync.head()} -> {sync.head()}\n")
    after = tool("manage", "db", "version")
    assert (after.returncode, after.stdout) == (0, f"{sync.head()}\n")


def test_without_a_database_it_says_what_is_missing(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "empty.conf").write_text("")
    result = tool("manage", "db", "sync", conf=tmp_path / "empty.conf")
    assert result.returncode == 1
    assert "database.connection" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_command_it_says_which_there_are(tool: Tool) -> None:
    result = tool("manage")
    assert result.returncode != 0
    assert "db" in result.stderr
    assert "certificate" in result.stderr


def checks(tool: Tool) -> tuple[int, dict[str, int]]:
    result = tool("status", "upgrade", "check", "--json")
    output = json.loads(result.stdout.splitlines()[-1])
    return result.returncode, {one["check"]: one["result"] for one in output["checks"]}


def test_upgrade_check(tool: Tool, database: str) -> None:
    status, results = checks(tool)
    assert status == 2
    assert results["Database schema"] == 2
    tool("manage", "db", "sync")
    status, results = checks(tool)
    assert status == 1
    assert (results["Database schema"], results["Evidence certificate"]) == (0, 1)
    now = datetime.now(UTC)
    engine.use(sa.create_engine(database))
    try:
        with engine.session() as session:
            made = certificates.create(session, name="cloud-a.sv2m")
            certificates.activate(session, made.id, not_after=now + timedelta(days=90))
        assert checks(tool) == (0, dict.fromkeys(results, 0))
        with engine.session() as session:
            certificates.update(session, made.id, not_after=now + timedelta(days=3))
            values = {"id": "m", "role": "source", "peer": "b", "project_id": "p", "phase": "offered"}
            migrations.create(session, **values)
        status, results = checks(tool)
        assert (status, results["Evidence certificate"], results["Running migrations"]) == (1, 1, 1)
    finally:
        engine.current().dispose()
        engine.use(None)
