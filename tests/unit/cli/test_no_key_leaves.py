# SPDX-License-Identifier: Apache-2.0
"""A private key is given by mistake, wherever something can be given; then everything is searched for it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from osc_lib import exceptions

from sv2m.cli import evidence, load, migration, peer
from sv2m.db import engine, models, peers, sync
from tests.unit.api.conftest import API, CA, SERVER
from tests.unit.cli.conftest import Run
from tests.unit.sdk.conftest import Connected

#: Each a label, and how openssl makes a key of it.
KINDS = {
    "EC PRIVATE KEY": ["ecparam", "-genkey", "-noout", "-name", "secp384r1"],
    "PRIVATE KEY": ["genpkey", "-algorithm", "ed25519"],
    "RSA PRIVATE KEY": ["genrsa", "-traditional", "1024"],
}
COMMANDS: dict[str, tuple[Any, list[str]]] = {
    "create": (migration.CreateMigration, ["web", "cloud-b.sv2m"]),
    "list": (migration.ListMigration, ["--server=KEY", "--peer=KEY", "--limit=KEY", "--status=KEY", "--role=KEY"]),
    "show": (migration.ShowMigration, ["KEY"]),
    "abort": (migration.AbortMigration, ["KEY"]),
    "save": (evidence.SaveEvidence, ["KEY"]),
    "verify": (evidence.VerifyEvidence, ["KEY", "--ca=KEY"]),
    "peer show": (peer.ShowPeer, ["KEY"]),
    "peer delete": (peer.DeletePeer, ["KEY"]),
    "load list": (load.ListLoad, ["KEY"]),
}
OPTIONS = ["url", "ca-file", "tls-ca-file", "direction", "project", "limit", "volume-type"]


class Everything:
    """All that was logged, written, answered, sent and stored."""

    def __init__(self, key: str, output: io.StringIO, capsys: Any, caplog: Any, connected: Connected) -> None:
        self.key, self._output, self._capsys, self._caplog, self._connected = key, output, capsys, caplog, connected
        self.said: list[str] = []

    def found(self) -> list[str]:
        """Where a piece of the key is."""
        printed = self._capsys.readouterr()
        places = {
            "output": self._output.getvalue() + printed.out + printed.err,
            "log": "\n".join(f"{one.getMessage()} {one.exc_text or ''} {one.args}" for one in self._caplog.records),
            "errors": "\n".join(self.said),
            "database": "\n".join(_rows()),
            "sent": "\n".join(f"{one.url} {one.text}" for one in self._connected.requests.request_history),
        }
        return [name for name, text in places.items() if any(piece in text for piece in _pieces(self.key))]


def _pieces(key: str) -> list[str]:
    """Any run of a key's base64 that would be worth something; and each in a URL or repr."""
    lines = [line for line in key.splitlines() if not line.startswith("-----")]
    return [line[start : start + 12] for line in lines for start in range(0, max(1, len(line) - 12), 6)]


def _rows() -> Iterator[str]:
    with engine.session() as session:
        for table in models.Base.metadata.sorted_tables:
            for row in session.execute(sa.select(table)):
                yield " ".join(one.decode("latin-1") if isinstance(one, bytes) else str(one) for one in row)


@pytest.fixture(params=KINDS)
def key(request: pytest.FixtureRequest) -> str:
    made = subprocess.run(["openssl", *KINDS[request.param]], capture_output=True, text=True, check=True).stdout
    assert f"BEGIN {request.param}" in made
    return made


@pytest.fixture
def everything(
    key: str, output: io.StringIO, capsys: Any, caplog: pytest.LogCaptureFixture, connected: Connected
) -> Everything:
    caplog.set_level(logging.DEBUG)
    connected.persona = "admin"
    return Everything(key, output, capsys, caplog, connected)


def refused(run: Callable[[], Any], everything: Everything) -> None:
    with pytest.raises((exceptions.CommandError, SystemExit)) as raised:
        run()
    everything.said += [str(raised.value), repr(raised.value.__cause__), repr(raised.value.__context__)]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_key_in_place_of_an_argument(name: str, run: Run, everything: Everything) -> None:
    command, arguments = COMMANDS[name]
    for number in range(len(arguments)):
        given = [one.replace("KEY", everything.key if place == number else "x") for place, one in enumerate(arguments)]
        if "KEY" not in arguments[number]:
            given[number] = everything.key
        refused(lambda given=given: run(command, *given), everything)
    assert everything.found() == []


@pytest.mark.parametrize("option", OPTIONS)
def test_a_key_as_an_option_of_an_agreement(option: str, run: Run, everything: Everything, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CA)
    good = {"url": "https://n", "ca-file": f"{tmp_path}/ca.pem", "direction": "outgoing"}
    for value in (everything.key, f"plain={everything.key}"):
        given = [f"--{name}={text}" for name, text in {**good, option: value}.items()]
        refused(lambda given=given: run(peer.CreatePeer, "cloud-n.sv2m", *given), everything)
        refused(lambda value=value: run(peer.SetPeer, "cloud-b.sv2m", f"--{option}={value}"), everything)
    given = [f"--{name}={text}" for name, text in good.items()]
    refused(lambda: run(peer.CreatePeer, everything.key, *given), everything)
    assert everything.found() == []


@pytest.mark.parametrize("option", ["ca-file", "tls-ca-file"])
@pytest.mark.parametrize("form", ["{key}", "{ca}{key}", "{key}{ca}", "{ca}\nsome text\n{key}", "\ufeff{key}"])
def test_a_file_with_a_key_stays_on_this_machine(
    option: str, form: str, run: Run, everything: Everything, tmp_path: Path
) -> None:
    (tmp_path / "both.pem").write_text(form.format(key=everything.key, ca=CA))
    with pytest.raises(exceptions.CommandError, match=rf"--{option} .*both\.pem holds a private key"):
        run(peer.SetPeer, "cloud-b.sv2m", f"--{option}={tmp_path}/both.pem")
    assert [one for one in everything._connected.requests.request_history if one.method == "PATCH"] == []
    assert everything.found() == []


def test_evidence_is_not_judged_by_a_file_with_a_key(run: Run, everything: Everything, tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_text(CA + everything.key)
    for option in ("--ca", "--tsa-ca"):
        others = [] if option == "--ca" else [f"--ca={tmp_path}/ca.pem"]
        (tmp_path / "ca.pem").write_text(CA)
        with pytest.raises(exceptions.CommandError, match=rf"{option} .* holds a private key"):
            run(evidence.VerifyEvidence, str(tmp_path), *others, f"{option}={tmp_path}/both.pem")
    assert everything.found() == []


def bodies(key: str) -> Iterator[tuple[str, str, Any]]:
    """Every field that the API has, and some that it has not, with a key in it."""
    good = {"name": "cloud-n.sv2m", "url": "https://n", "ca_pem": CA, "direction": "outgoing"}
    for value in (key, CA + key, key.replace("\n", ""), {"x": key}, [key], {key: 1}):
        for field in (*good, "tls_ca_pem", "project_id", "limits", "volume_type_map", "enabled", "nonsense", key):
            yield "POST", "/v1/peers", {"peer": {**good, field: value}}
            yield "PATCH", "/v1/peers/cloud-b.sv2m", {"peer": {field: value}}
        for field in ("id", "server_id", "destination", "nonsense"):
            body = {"migration": {"server_id": SERVER, "destination": "cloud-b.sv2m", field: value}}
            yield "POST", "/v1/migrations", body
        yield "POST", f"/v1/migrations/{SERVER}/abort", {"x": value}
    yield "POST", "/v1/peers", {"peer": {**good, "volume_type_map": {"plain": key}}}
    yield "POST", "/v1/peers", json.dumps({"peer": {**good, "ca_pem": key}}).encode()[:-2]


def test_a_key_in_a_body(api: API, everything: Everything) -> None:
    for method, path, body in bodies(everything.key):
        answered = api(method, path, body, persona="admin")
        assert answered.status_int == 400, (method, path)
        everything.said.append(answered.text)
    assert everything.found() == []


def test_a_key_in_a_query_or_a_path(api: API, everything: Everything) -> None:
    raw = everything.key.splitlines()[1].replace("+", "-").replace("/", "_").rstrip("=")
    for name in ("status", "role", "server_id", "peer", "all_projects", "limit", "marker", "nonsense"):
        everything.said.append(api("GET", f"/v1/migrations?{name}={raw}", persona="admin").text)
    for path in (f"/v1/migrations/{raw}", f"/v1/peers/{raw}", f"/v1/{raw}", f"/v1/migrations/{raw}/evidence"):
        everything.said.append(api("GET", path, persona="admin").text)
    everything.said.append(api(raw, "/v1/peers", persona="admin").text)
    everything.said.append(api("GET", "/v1/peers", OpenStack_API_Version=f"secure-migration {raw}").text)
    assert everything.found() == []


def test_what_an_agreement_had_before_is_not_shown(api: API, everything: Everything) -> None:
    with engine.session() as session:
        peers.update(session, "cloud-b.sv2m", ca_pem=CA + everything.key, tls_ca_pem=everything.key)
    shown = api("GET", "/v1/peers/cloud-b.sv2m").json["peer"]
    assert (shown["ca_pem"], shown["tls_ca_pem"]) == (CA, "")
    everything.said.append(api("GET", "/v1/peers").text)
    with engine.session() as session:
        peers.update(session, "cloud-b.sv2m", ca_pem=CA, tls_ca_pem="")
    assert everything.found() == []


def test_what_the_database_had_before_is_taken_out(tmp_path: Path, key: str) -> None:
    database = sa.create_engine(f"sqlite:///{tmp_path}/old.sqlite")
    sync.upgrade(database, "0004")
    old = sa.MetaData()
    now = "2026-01-01 00:00:00"
    with database.begin() as connection:
        old.reflect(connection)
        common = {"url": "https://b", "direction": "both", "limits": "{}", "volume_type_map": "{}", "enabled": True}
        times = {"created_at": sa.text(f"'{now}'"), "updated_at": sa.text(f"'{now}'")}
        for name, ca_pem in (("both", f"# ours\n{CA}{key}"), ("key", key), ("good", CA)):
            values = {"id": name, "name": name, "ca_pem": ca_pem, "tls_ca_pem": key, **common, **times}
            connection.execute(sa.insert(old.tables["peers"]).values(values))
        columns = "id, migration_id, kind, direction, digest, at"
        copy = f"INSERT INTO messages ({columns}) VALUES (1, 'm', 'ca', 'sent', '', '{now}')"
        connection.execute(sa.text(copy))
        part = {"message_id": 1, "number": 0, "content": (CA + key).encode()}
        connection.execute(sa.insert(old.tables["message_parts"]).values(part))
        stamp = "INSERT INTO timestamps (migration_id, covers, ca_pem, attempts) VALUES ('m', 'Release', :pem, 0)"
        connection.execute(sa.text(stamp), {"pem": CA + key})
    sync.upgrade(database)
    with database.connect() as connection:
        kept = {row.name: (row.ca_pem, row.tls_ca_pem) for row in connection.execute(sa.select(old.tables["peers"]))}
        document = connection.scalar(sa.select(old.tables["message_parts"].c.content))
        roots = connection.scalar(sa.select(old.tables["timestamps"].c.ca_pem))
    assert kept == {"both": (CA, ""), "key": ("", ""), "good": (CA, "")}
    assert (document, roots) == (CA.encode(), CA)
