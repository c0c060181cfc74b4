# SPDX-License-Identifier: Apache-2.0
"""The operator's tools, as the operator runs them: each in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import pytest
import sqlalchemy as sa

from sv2m import reporting
from sv2m.db import certificates, engine, migrations, sync

Tool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/sv2m.sqlite?timeout=60"


@pytest.fixture
def tool(tmp_path: Path, database: str) -> Tool:
    configuration = tmp_path / "sv2m.conf"
    configuration.write_text(
        f"[DEFAULT]\ncloud_name = cloud-a.sv2m\n[database]\nconnection = {database}\n[cmm]\ncrl_url = http://ca/crl\n"
        "[engine]\nlanding_network = net\nagent_transport_url = fake://{host}/\n"
    )

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


def test_the_upgrade_check_without_a_database_says_what_is_missing(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "empty.conf").write_text("")
    result = tool("status", "upgrade", "check", conf=tmp_path / "empty.conf")
    assert result.returncode == 2
    assert "connection is not set" in result.stdout
    assert "cloud_name is not set" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("program", ["engine", "api", "gateway", "agent"])
def test_a_program_that_lacks_an_option_ends_and_says_which(tool: Tool, tmp_path: Path, program: str) -> None:
    (tmp_path / "empty.conf").write_text("[agent]\nstate_path =\n")
    result = tool(program, conf=tmp_path / "empty.conf")
    assert result.returncode == 1
    assert "not set in the configuration" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("program", ["engine", "api", "gateway", "agent", "manage"])
def test_a_configuration_file_that_is_not_there_is_named(tool: Tool, tmp_path: Path, program: str) -> None:
    result = tool(program, *(["db", "version"] if program == "manage" else []), conf=tmp_path / "nothing.conf")
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert str(tmp_path / "nothing.conf") in result.stderr


def test_a_value_that_is_none_is_found_at_the_start(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "wrong.conf").write_text("[engine]\nheartbeat = soon\n")
    result = tool("engine", conf=tmp_path / "wrong.conf")
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert "heartbeat" in result.stderr


def test_the_upgrade_check_of_a_database_that_is_away_says_so(tool: Tool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "away.conf").write_text(f"[database]\nmax_retries = 0\nconnection = mysql+pymysql://u:p@127.0.0.1:{port}/x\n")
    result = tool("status", "upgrade", "check", conf=tmp_path / "away.conf")
    assert result.returncode == 2
    assert "The database does not answer" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_a_gateway_without_its_certificate_ends_and_does_not_try_for_ever(tool: Tool, tmp_path: Path) -> None:
    configuration = tmp_path / "gateway.conf"
    missing = tmp_path / "missing.pem"
    configuration.write_text(
        f"[DEFAULT]\ncloud_name = cloud-a.sv2m\n[gateway]\nlisten_address = 127.0.0.1\nport = 1\n"
        f"certificate_file = {missing}\nprivate_key_file = {missing}\n"
    )
    result = tool("gateway", conf=configuration)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert str(missing) in result.stderr


def test_an_api_whose_address_is_taken_ends_and_does_not_try_for_ever(
    tool: Tool, tmp_path: Path, database: str
) -> None:
    configuration = tmp_path / "api.conf"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        configuration.write_text(
            f"[DEFAULT]\ncloud_name = cloud-a.sv2m\n[database]\nconnection = {database}\n"
            f"[api]\nlisten_address = 127.0.0.1\nport = {taken.getsockname()[1]}\n"
        )
        result = tool("api", conf=configuration)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert "cannot listen on 127.0.0.1" in result.stderr


def test_an_engine_with_an_unknown_module_ends_and_does_not_try_for_ever(
    tool: Tool, tmp_path: Path, database: str
) -> None:
    configuration = tmp_path / "engine.conf"
    configuration.write_text(
        f"[DEFAULT]\ncloud_name = cloud-a.sv2m\ntransport_url = fake:/\n[database]\nconnection = {database}\n"
        "[engine]\nmodules = conductor, nonsense\n"
    )
    result = tool("engine", conf=configuration)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert "nonsense is none of" in result.stderr


@pytest.mark.parametrize("program", ["engine", "api"])
def test_an_unreadable_policy_file_ends_the_program(
    tool: Tool, tmp_path: Path, database: str, program: str
) -> None:
    (tmp_path / "policy.yaml").write_text("this: [is not\n")
    configuration = tmp_path / "program.conf"
    configuration.write_text(
        f"[DEFAULT]\ncloud_name = cloud-a.sv2m\ntransport_url = fake:/\n[database]\nconnection = {database}\n"
        f"[oslo_policy]\npolicy_file = {tmp_path}/policy.yaml\n[api]\nport = 0\n"
    )
    result = tool(program, conf=configuration)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert "the policy file cannot be read" in result.stderr


_BASE = "[DEFAULT]\ncloud_name = cloud-a.sv2m\ntransport_url = {broker}\n[database]\nconnection = {database}\n"


@pytest.mark.parametrize(
    ("program", "url", "said"),
    [
        ("engine", "rabit://u:hush@x/", "no driver rabit"),
        ("api", "nonsense-hush", "no URL"),
        ("gateway", "rabbit://u:hush/w@h:5672/", "no URL"),
        ("agent", "kafka://u:hush@x/", "confluent_kafka"),
    ],
)
def test_a_broker_that_cannot_be_ends_the_program_once(
    tool: Tool, tmp_path: Path, database: str, program: str, url: str, said: str
) -> None:
    """A worker that ends is started again for ever, and no unit is ever seen to have failed."""
    conf = tmp_path / "broker.conf"
    certificates_of_none = "[gateway]\ncertificate_file = a\nprivate_key_file = a\n"
    conf.write_text(_BASE.format(broker=url, database=database) + certificates_of_none)
    result = tool(program, conf=conf)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert said in result.stderr
    assert "hush" not in result.stderr


@pytest.mark.parametrize(
    ("program", "url", "said"),
    [
        ("engine", "nonsense-hush", "no URL"),
        ("api", "postgresql://u:hush@x/y", "not installed"),
        ("manage", "mysql+pymysql://u:hush@h:port/x", "no URL"),
        ("manage", "foo://u:hush@x", "not installed"),
    ],
)
def test_a_database_that_cannot_be_ends_the_program_once(
    tool: Tool, tmp_path: Path, program: str, url: str, said: str
) -> None:
    conf = tmp_path / "database.conf"
    conf.write_text(_BASE.format(broker="fake:/", database=url))
    result = tool(program, *(["db", "sync"] if program == "manage" else []), conf=conf)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert said in result.stderr
    assert "hush" not in result.stderr


def test_the_upgrade_check_names_what_cannot_be_and_quotes_no_password(tool: Tool, tmp_path: Path) -> None:
    conf = tmp_path / "wrong.conf"
    (tmp_path / "policy.yaml").write_text("this: [is not\n")
    wrong = _BASE.format(broker="rabit://u:hush@x/", database="postgresql://u:hush@x/y")
    conf.write_text(f"{wrong}[oslo_policy]\npolicy_file = {tmp_path}/policy.yaml\n")
    result = tool("status", "upgrade", "check", conf=conf)
    assert result.returncode == 2
    for said in ("not installed", "no driver rabit", "policy file cannot be read", "landing_network", "crl_url"):
        assert said in " ".join(result.stdout.split()).replace(" | ", " "), result.stdout
    assert "hush" not in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("program", ["engine", "manage"])
def test_a_configuration_file_that_is_not_utf_8_is_one_line(tool: Tool, tmp_path: Path, program: str) -> None:
    (tmp_path / "latin.conf").write_bytes("[DEFAULT]\ncloud_name = wölke\n".encode("latin-1"))
    result = tool(program, *(["db", "version"] if program == "manage" else []), conf=tmp_path / "latin.conf")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "UTF-8" in result.stderr


@pytest.mark.parametrize("program", ["engine", "api", "gateway", "agent", "manage"])
def test_each_program_says_its_version(tool: Tool, program: str) -> None:
    result = tool(program, "--version")
    assert (result.returncode, result.stdout.strip()) == (0, metadata.version("sv2m"))


@pytest.mark.parametrize(("package", "remedy"), [("libvirt", "sv2m[agent]"), ("nbd", "python3-libnbd")])
def test_an_agent_without_its_packages_says_which(tmp_path: Path, package: str, remedy: str) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('not installed')\n")
    (tmp_path / "agent.conf").write_text("[DEFAULT]\ntransport_url = fake:/\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    for arguments, status in ((["--help"], 0), (["--config-file", str(tmp_path / "agent.conf")], 1)):
        result = subprocess.run(
            [sys.executable, "-m", "sv2m.cmd.agent", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert (result.returncode, "Traceback" in result.stderr) == (status, False), result.stderr
    assert f"Python package {package}" in result.stderr
    assert remedy in result.stderr


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
        for one in reporting.PROGRAMS:
            reporting.written_down(one, "node", "1.0")
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
