# SPDX-License-Identifier: Apache-2.0
"""The openstack command's sub-commands, down to the real application."""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions

from sv2m import reporting
from sv2m.cli import evidence, load, migration, peer, service
from sv2m.db import engine, migrations
from sv2m.sdk.proxy import Proxy
from tests.unit.api.conftest import CA, SERVER
from tests.unit.cli.conftest import Run
from tests.unit.sdk.conftest import Connected


def as_dict(shown: tuple[Any, Any]) -> dict[str, Any]:
    return dict(zip(*shown, strict=True))


def end_soon(monkeypatch: pytest.MonkeyPatch, status: str, **values: Any) -> None:
    """While the command sleeps between two looks, the engine ends the migration."""

    def work(_: float) -> None:
        with engine.session() as session:
            for row in migrations.list_unfinished(session):
                migrations.record_progress(session, row.id, bytes_done=2 << 20, bytes_total=4 << 20, bytes_sent=1 << 20)
                migrations.advance(
                    session, row.id, row.phase, row.generation, "closed", status=status, **values
                )

    monkeypatch.setitem(Proxy.wait_for_migration.__kwdefaults__ or {}, "sleep", work)


def test_create_takes_a_name(run: Run) -> None:
    shown = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m"))
    assert (shown["server_id"], shown["status"], shown["error"]) == (SERVER, "running", None)


def test_create_of_an_unknown_server(run: Run) -> None:
    with pytest.raises(sdk_exceptions.NotFoundException):
        run(migration.CreateMigration, "nothing", "cloud-b.sv2m")


def test_refusal_says_code_and_remedy(run: Run) -> None:
    said = r"agreement with cloud-x\.sv2m; there is one with cloud-.*\(no-agreement\).*peer list"
    with pytest.raises(exceptions.CommandError, match=said):
        run(migration.CreateMigration, "web", "cloud-x.sv2m")


def test_wait_shows_progress_and_returns_the_end(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end_soon(monkeypatch, "completed", downtime_ms=420)
    shown = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m", "--wait"))
    assert (shown["status"], shown["downtime_ms"]) == ("completed", 420)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Migration ")
    assert lines[1].startswith("requested")
    assert lines[2].startswith("closed")
    assert "[############............]   50 %  2.0 MiB of 4.0 MiB  sent 1.0 MiB" in lines[2]


def test_wait_fails_with_the_migrations_own_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"error_code": "no-room", "error_message": "B is full", "error_remedy": "Wait.", "fault": "peer"}
    end_soon(monkeypatch, "refused", **values)
    with pytest.raises(exceptions.CommandError, match=r"refused: B is full \(no-room\)\. Wait\."):
        run(migration.CreateMigration, "web", "cloud-b.sv2m", "--wait")


def test_list_show_abort(run: Run) -> None:
    made = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m"))
    columns, rows = run(migration.ListMigration, "--status", "running", "--limit", "1")
    assert columns[:2] == ("ID", "Server")
    assert [row[:2] for row in rows] == [(made["id"], "web")]
    run(migration.AbortMigration, made["id"])
    with engine.session() as session:
        assert migrations.get(session, made["id"]).abort_requested
    assert as_dict(run(migration.ShowMigration, made["id"]))["phase"] == "requested"
    with pytest.raises(exceptions.CommandError, match=r"list_all_projects.*\(forbidden\)"):
        run(migration.ListMigration, "--all-projects")


def test_a_list_has_the_code_of_what_went_wrong(run: Run) -> None:
    made = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m"))
    columns, (row,) = run(migration.ListMigration)
    assert dict(zip(columns, row, strict=True))["Error"] == ""
    values = {"error_code": "memory-lost", "error_message": "it ended", "error_remedy": "Start it.", "fault": "host"}
    with engine.session() as session:
        one = migrations.get(session, made["id"])
        migrations.advance(session, one.id, one.phase, one.generation, "withdrawn", status="failed", **values)
    columns, (row,) = run(migration.ListMigration)
    assert dict(zip(columns, row, strict=True))["Error"] == "memory-lost"


def test_evidence_as_a_file_and_unpacked(run: Run, output: io.StringIO, tmp_path: Path) -> None:
    made = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m"))["id"]
    run(evidence.SaveEvidence, made, "--file", str(tmp_path / "e.zip"))
    assert zipfile.is_zipfile(tmp_path / "e.zip")
    run(evidence.SaveEvidence, made, "--directory", str(tmp_path / "e"))
    assert "xmlsec1" in (tmp_path / "e" / "README.txt").read_text()
    assert output.getvalue().splitlines() == [str(tmp_path / "e.zip"), str(tmp_path / "e")]


def test_life_of_an_agreement(run: Run, connected: Connected, tmp_path: Path) -> None:
    connected.persona = "admin"
    connected.requests.get("http://keystone/v3/projects/guests", json={"project": {"id": "p7"}})
    (tmp_path / "ca.pem").write_text(CA)
    made = as_dict(
        run(
            peer.CreatePeer,
            "cloud-n.sv2m",
            "--url=https://n:9891",
            f"--ca-file={tmp_path}/ca.pem",
            "--direction=both",
            "--project=guests",
            "--limit=memory_mb=2048",
            "--limit=vcpus=4",
            "--volume-type=aes-xts-plain64-256=secret",
        )
    )
    assert made["limits"] == {"memory_mb": 2048, "vcpus": 4}
    assert made["volume_type_map"] == {"aes-xts-plain64-256": "secret"}
    assert (made["project_id"], made["enabled"]) == ("p7", True)
    run(peer.SetPeer, "cloud-n.sv2m", "--disable", "--limit=vcpus=8")
    shown = as_dict(run(peer.ShowPeer, "cloud-n.sv2m"))
    assert (shown["enabled"], shown["limits"]) == (False, {"memory_mb": 2048, "vcpus": 8})
    run(peer.SetPeer, "cloud-n.sv2m", "--enable", "--no-limit")
    assert as_dict(run(peer.ShowPeer, "cloud-n.sv2m"))["limits"] == {}
    assert "cloud-n.sv2m" in [row[0] for row in run(peer.ListPeer)[1]]
    run(peer.DeletePeer, "cloud-n.sv2m")
    with pytest.raises(exceptions.CommandError, match="not-found"):
        run(peer.DeletePeer, "cloud-n.sv2m")


@pytest.mark.parametrize("limit", ["colour=1", "vcpus=many", "vcpus=-1"])
def test_limits_that_are_none(run: Run, limit: str, connected: Connected) -> None:
    connected.persona = "admin"
    with pytest.raises(exceptions.CommandError, match="--limit"):
        run(peer.SetPeer, "cloud-b.sv2m", f"--limit={limit}")


def test_load_list(run: Run, connected: Connected) -> None:
    connected.persona = "admin"
    columns, rows = run(load.ListLoad)
    assert columns[0] == "Host"
    assert [row[0] for row in rows] == ["node1"]


def test_every_command_is_registered() -> None:
    registered = {
        point.name: point.load()
        for point in importlib.metadata.entry_points(group="openstack.secure_migration.v1")
    }
    assert {name.removeprefix("secure_migration_").replace("_", " ") for name in registered} == {
        "create",
        "list",
        "show",
        "abort",
        "evidence save",
        "evidence verify",
        "peer create",
        "peer list",
        "peer show",
        "peer set",
        "peer delete",
        "load list",
        "service list",
    }


def test_service_list(run: Run, connected: Connected) -> None:
    connected.persona = "admin"
    reporting.written_down("sv2m-engine", "c1", "1.0")
    columns, rows = run(service.ListService)
    assert columns[:3] == ("Binary", "Host", "State")
    assert [row[:4] for row in rows] == [("sv2m-engine", "c1", "up", "1.0")]
