# SPDX-License-Identifier: Apache-2.0
"""The openstack command's sub-commands, down to the real application."""

from __future__ import annotations

import importlib.metadata
import io
import re
import uuid
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import requests_mock as requests_mock_module
from openstack import exceptions as sdk_exceptions
from osc_lib import exceptions

from sv2m import reporting
from sv2m.cli import evidence, load, migration, peer, plugin, service
from sv2m.db import engine, migrations, peers
from sv2m.sdk.proxy import Proxy
from tests.unit.api.conftest import CA, LOCAL_SERVER, SERVER
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


def test_list_show_abort(run: Run, output: io.StringIO) -> None:
    made = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m"))
    columns, rows = run(migration.ListMigration, "--status", "running", "--limit", "1")
    assert columns[:2] == ("ID", "Server")
    assert [row[:2] for row in rows] == [(made["id"], "web")]
    run(migration.AbortMigration, made["id"])
    assert output.getvalue() == f"Migration {made['id']}: its abort is asked for; it is requested\n"
    with engine.session() as session:
        assert migrations.get(session, made["id"]).abort_requested
    assert as_dict(run(migration.ShowMigration, made["id"]))["phase"] == "requested"
    with pytest.raises(exceptions.CommandError, match=r"list_all_projects.*\(forbidden\)"):
        run(migration.ListMigration, "--all-projects")


def test_a_person_decides(run: Run, connected: Any) -> None:
    made = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m"))
    asked = (migration.DecideMigration, made["id"], "taken-back", "--reason", "their site has burnt down")
    connected.persona = "admin"
    with pytest.raises(exceptions.CommandError, match=r"it can be aborted.*\(nothing-to-decide\)"):
        run(*asked)
    with engine.session() as session:
        one = migrations.get(session, made["id"])
        migrations.advance(session, one.id, one.phase, one.generation, "released")
    assert as_dict(run(*asked))["decision"] == "taken-back: their site has burnt down"
    assert as_dict(run(migration.ShowMigration, made["id"]))["decision"] == "taken-back: their site has burnt down"


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


def test_evidence_is_not_written_over_by_mistake(run: Run, tmp_path: Path, capsysbinary: Any) -> None:
    made = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m"))["id"]
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "mine").touch()
    (tmp_path / "e.zip").write_bytes(b"mine")
    for option in (f"--directory={tmp_path}/e", f"--file={tmp_path}/e.zip"):
        with pytest.raises(exceptions.CommandError, match="is there already; --overwrite"):
            run(evidence.SaveEvidence, made, option)
    assert (tmp_path / "e.zip").read_bytes() == b"mine"
    run(evidence.SaveEvidence, made, f"--file={tmp_path}/e.zip", "--overwrite")
    assert zipfile.is_zipfile(tmp_path / "e.zip")
    with pytest.raises(exceptions.CommandError, match=r"--file .*nowhere/e\.zip: No such file or directory"):
        run(evidence.SaveEvidence, made, f"--file={tmp_path}/nowhere/e.zip")
    run(evidence.SaveEvidence, made, "--file=-")
    assert zipfile.is_zipfile(io.BytesIO(capsysbinary.readouterr().out))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "No such file or directory"),
        ("directory", "Is a directory"),
        (b"\x30\x82\x01\x00der", "is binary (DER or PKCS #12), not PEM (not-certificates). Convert it"),
        (b"\xff\xfe garbage", "holds no certificate in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate that cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "holds no certificate"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "not labelled CERTIFICATE"),
        (b"x" * 70000, "is larger than 65536 bytes"),
    ],
)
def test_a_file_that_is_none_of_certificates(run: Run, tmp_path: Path, given: Any, said: str) -> None:
    path = tmp_path / "ca.pem"
    if given == "directory":
        path.mkdir()
    elif given is not None:
        path.write_bytes(given)
    with pytest.raises(exceptions.CommandError) as raised:
        run(peer.SetPeer, "cloud-b.sv2m", f"--ca-file={path}")
    assert str(raised.value).startswith(f"--ca-file {path}")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_life_of_an_agreement(run: Run, connected: Connected, output: io.StringIO, tmp_path: Path) -> None:
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
            "--data-network=192.0.2.0/24",
            "--data-network=2001:db8::/32",
        )
    )
    assert made["data_networks"] == ["192.0.2.0/24", "2001:db8::/32"]
    assert made["limits"] == {"memory_mb": 2048, "vcpus": 4}
    assert made["volume_type_map"] == {"aes-xts-plain64-256": "secret"}
    assert (made["project_id"], made["enabled"]) == ("p7", True)
    run(peer.SetPeer, "cloud-n.sv2m", "--disable", "--limit=vcpus=8")
    shown = as_dict(run(peer.ShowPeer, "cloud-n.sv2m"))
    assert (shown["enabled"], shown["limits"]) == (False, {"memory_mb": 2048, "vcpus": 8})
    assert shown["effective_limits"] == {"memory_mb": 2048, "vcpus": 8, "migrations": 3}
    assert "memory_mb=2048, migrations=3, vcpus=8" in [row[5] for row in run(peer.ListPeer)[1]]
    run(peer.SetPeer, "cloud-n.sv2m", "--enable", "--no-limit")
    assert as_dict(run(peer.ShowPeer, "cloud-n.sv2m"))["limits"] == {}
    run(peer.SetPeer, "cloud-n.sv2m", "--data-network=198.51.100.0/24")
    assert as_dict(run(peer.ShowPeer, "cloud-n.sv2m"))["data_networks"] == ["198.51.100.0/24"]
    run(peer.SetPeer, "cloud-n.sv2m", "--no-data-network")
    assert as_dict(run(peer.ShowPeer, "cloud-n.sv2m"))["data_networks"] == []
    assert "cloud-n.sv2m" in [row[1] for row in run(peer.ListPeer)[1]]
    run(peer.DeletePeer, "cloud-n.sv2m")
    assert output.getvalue() == "The agreement with cloud-n.sv2m has ended\n"
    with pytest.raises(exceptions.CommandError, match="not-found"):
        run(peer.DeletePeer, "cloud-n.sv2m")


@pytest.mark.parametrize("limit", ["colour=1", "vcpus=many", "vcpus=-1"])
def test_limits_that_are_none(run: Run, limit: str, connected: Connected) -> None:
    connected.persona = "admin"
    with pytest.raises(exceptions.CommandError, match="--limit"):
        run(peer.SetPeer, "cloud-b.sv2m", f"--limit={limit}")


def make(server: str = SERVER, **values: Any) -> str:
    """A migration that has ended."""
    with engine.session() as session:
        wanted = {"role": "source", "peer": "cloud-b.sv2m", "project_id": "p1", "phase": "requested", **values}
        row = migrations.create(session, id=str(uuid.uuid4()), server_id=server, server_name="web", **wanted)
        migrations.advance(session, row.id, row.phase, row.generation, "closed", status="completed")
        return row.id


def test_a_list_can_be_narrowed_turned_and_continued(run: Run, connected: Connected) -> None:
    first, second, third = make(user_id="u1"), make(LOCAL_SERVER, user_id="u2"), make(user_id="u1")

    def listed(*options: str) -> list[str]:
        return [row[0] for row in run(migration.ListMigration, *options)[1]]

    assert listed() == [third, second, first]
    assert listed("--sort=created_at:asc") == [first, second, third]
    assert listed("--sort=created_at:asc", f"--marker={first}", "--limit=1") == [second]
    assert listed(f"--marker={third}") == [second, first]
    assert listed("--server=web") == [third, first]
    assert listed(f"--server={LOCAL_SERVER}") == [second]
    assert listed("--phase=closed", "--peer=cloud-b.sv2m", "--role=source") == [third, second, first]
    assert listed("--phase=offered") == []
    assert listed("--since=2000-01-01") == [third, second, first]
    assert listed("--since=2999-01-01T00:00+05:00") == []
    connected.requests.get("http://keystone/v3/users/mona", json={"user": {"id": "u2"}})
    assert listed("--user=mona") == [second]


def test_an_administrators_list_says_whose_each_is(
    run: Run, connected: Connected, capsys: pytest.CaptureFixture[str]
) -> None:
    connected.persona = "admin"
    run.__wrapped__.auth_ref = SimpleNamespace(role_names=["admin"])  # type: ignore[attr-defined]
    mine, other = "1" * 32, "2" * 32
    of_other = make(project_id=other)
    assert run(migration.ListMigration)[1] == []
    assert "--all-projects" in capsys.readouterr().err
    make(project_id=mine)
    columns, rows = run(migration.ListMigration, "--all-projects")
    assert columns[-1] == "Project"
    assert sorted(row[-1] for row in rows) == [mine, other]
    columns, rows = run(migration.ListMigration, f"--project={other}")
    assert [row[0] for row in rows] == [of_other]
    assert capsys.readouterr().err == ""


def test_nobody_else_is_told_of_other_projects(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(migration.ListMigration)[1] == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("option", ["--limit=-1", "--limit=0", "--limit=x", "--since=yesterday"])
def test_options_that_cannot_be(run: Run, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(migration.ListMigration, option)
    assert f"argument {option.partition('=')[0]}: it takes " in capsys.readouterr().err


def test_times_are_in_seconds_and_an_error_has_its_fields_for_programs(run: Run) -> None:
    made = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m"))["id"]
    error = {"error_code": "no-room", "error_message": "B is full", "error_remedy": "Wait.", "fault": "peer"}
    with engine.session() as session:
        one = migrations.get(session, made)
        migrations.advance(session, made, one.phase, one.generation, "refused", status="refused", **error)
    found = as_dict(run(migration.ShowMigration, made))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["created_at"])
    assert found["user_id"] == "user-manager"
    assert found["error"].human_readable() == "B is full (no-room). Wait."
    assert found["error"].machine_readable()["code"] == "no-room"


def test_several_are_aborted_though_one_cannot_be(run: Run, output: io.StringIO) -> None:
    made = as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m"))["id"]
    with pytest.raises(exceptions.CommandError, match=r"1 of 3 migrations failed|2 of 3 migrations failed"):
        run(migration.AbortMigration, make(LOCAL_SERVER), "x2", made)
    assert made in output.getvalue()
    with engine.session() as session:
        assert migrations.get(session, made).abort_requested


def test_several_agreements_end_though_one_cannot(run: Run, connected: Connected, output: io.StringIO) -> None:
    connected.persona = "admin"
    with pytest.raises(exceptions.CommandError, match=r"1 of 3 agreements failed: there is no agreement with nosuch"):
        run(peer.DeletePeer, "cloud-in.sv2m", "nosuch", "cloud-off.sv2m")
    assert output.getvalue().count("has ended") == 2


def test_a_destination_may_be_named_by_its_id(run: Run) -> None:
    with engine.session() as session:
        peer_id = peers.get(session, "cloud-b.sv2m").id
    assert as_dict(run(migration.CreateMigration, "web", peer_id))["peer"] == "cloud-b.sv2m"


def test_who_stops_waiting_is_told_that_it_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(Proxy.wait_for_migration.__kwdefaults__ or {}, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(migration.CreateMigration, "web", "cloud-b.sv2m", "--wait")
    assert "goes on" in (said := capsys.readouterr().err)
    assert "openstack secure migration abort " in said


def test_waiting_can_be_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("sv2m.sdk.proxy.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setitem(Proxy.wait_for_migration.__kwdefaults__ or {}, "sleep", lambda _: None)
    with pytest.raises(exceptions.CommandError, match=r"is still requested\. The migration goes on"):
        run(migration.CreateMigration, "web", "cloud-b.sv2m", "--wait", "--timeout=60")
    with pytest.raises(exceptions.CommandError, match="give both"):
        run(migration.CreateMigration, "web", "cloud-b.sv2m", "--timeout=60")


def test_a_look_that_is_not_answered_is_taken_again(
    run: Run, connected: Connected, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, left = connected.answer, ["broken", "away", "away"]

    def now_and_then(request: Any, context: Any) -> Any:
        if request.method == "GET" and "/migrations/" in request.url and left:
            if left.pop() == "away":
                raise requests.exceptions.ConnectionError("refused")
            context.status_code = 502
            return io.BytesIO(b"<html>Bad gateway</html>")
        return answer(request, context)

    pattern = re.compile("^http://sv2m:9890")
    connected.requests.register_uri(requests_mock_module.ANY, pattern, body=now_and_then)
    end_soon(monkeypatch, "completed")
    assert as_dict(run(migration.CreateMigration, "web", "cloud-b.sv2m", "--wait"))["status"] == "completed"
    assert left == []
    assert capsys.readouterr().err.count("asking again") == 1


@pytest.mark.parametrize(("version", "good"), [("1", True), ("1.0", True), ("1.7", False), ("2", False)])
def test_versions_of_the_api(version: str, good: bool) -> None:
    if good:
        assert plugin.check_api_version(version)
    else:
        with pytest.raises(exceptions.CommandError, match=r"speaks version 1\.0"):
            plugin.check_api_version(version)


def test_load_list(run: Run, connected: Connected) -> None:
    connected.persona = "admin"
    columns, rows = run(load.ListLoad)
    assert columns[0] == "Host"
    assert [row[0] for row in rows] == ["node1"]
    assert rows[0][1].machine_readable() == {"used": None, "total": None}


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
        "decide",
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
