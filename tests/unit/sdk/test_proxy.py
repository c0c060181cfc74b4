# SPDX-License-Identifier: Apache-2.0
"""openstacksdk against the real application."""

from __future__ import annotations

import io
import zipfile

import pytest
from openstack import exceptions

from sv2m.db import engine, migrations
from tests.unit.api.conftest import CA, LOCAL_SERVER, SERVER
from tests.unit.sdk.conftest import Connected

ID = "99999999-9999-4999-8999-999999999999"


def test_life_of_a_migration(connected: Connected) -> None:
    client = connected.connection.secure_migration
    made = client.create_migration(id=ID, server_id=SERVER, destination="cloud-b.sv2m")
    assert (made.id, made.phase, made.status, made.peer) == (ID, "requested", "running", "cloud-b.sv2m")
    assert client.create_migration(id=ID, server_id=SERVER, destination="cloud-b.sv2m").id == ID
    assert [one.id for one in client.migrations(status="running")] == [ID]
    assert list(client.migrations(role="destination")) == []
    assert client.abort_migration(ID).is_abort_requested
    seen: list[str] = []

    def work(_: float) -> None:
        with engine.session() as session:
            row = migrations.get(session, ID)
            if row.phase == "requested":
                migrations.advance(session, ID, "requested", row.generation, "withdrawing")
            else:
                migrations.advance(
                    session, ID, row.phase, row.generation, "withdrawn", status="aborted", error_code="x"
                )

    ended = client.wait_for_migration(ID, callback=lambda one: seen.append(one.phase), sleep=work)
    assert ended.is_final
    assert ended.status == "aborted"
    assert ended.error["code"] == "x"
    assert seen == ["requested", "withdrawing", "withdrawn"]


def test_waiting_may_end_before_it_does(connected: Connected) -> None:
    client = connected.connection.secure_migration
    made = client.create_migration(server_id=SERVER, destination="cloud-b.sv2m")
    with pytest.raises(exceptions.ResourceTimeout):
        client.wait_for_migration(made, wait=0)


def test_lists_go_over_all_pages(connected: Connected) -> None:
    client = connected.connection.secure_migration
    made = []
    for _ in range(5):
        one = client.create_migration(server_id=LOCAL_SERVER, destination="cloud-b.sv2m")
        made.append(one.id)
        with engine.session() as session:
            migrations.advance(session, one.id, "requested", 1, "closed", status="completed")
    assert [one.id for one in client.migrations()] == made[::-1]


def test_errors_are_openstacksdks(connected: Connected) -> None:
    client = connected.connection.secure_migration
    with pytest.raises(exceptions.NotFoundException):
        client.get_migration(ID)
    with pytest.raises(exceptions.ForbiddenException, match="no agreement"):
        client.create_migration(server_id=SERVER, destination="cloud-x.sv2m")


def test_life_of_an_agreement(connected: Connected) -> None:
    connected.persona = "admin"
    client = connected.connection.secure_migration
    values = {"url": "https://n", "ca_pem": CA, "direction": "outgoing"}
    made = client.create_peer(name="cloud-n.sv2m", limits={"vcpus": 2}, **values)
    assert (made.name, made.is_enabled) == ("cloud-n.sv2m", True)
    client.update_peer("cloud-n.sv2m", is_enabled=False)
    assert not client.get_peer(made.id).is_enabled
    assert client.get_peer(made.id).limits == {"vcpus": 2}
    assert "cloud-n.sv2m" in [one.name for one in client.peers()]
    client.delete_peer("cloud-n.sv2m")
    client.delete_peer("cloud-n.sv2m", ignore_missing=True)
    with pytest.raises(exceptions.NotFoundException):
        client.delete_peer("cloud-n.sv2m")


def test_load(connected: Connected) -> None:
    connected.persona = "admin"
    assert [one.host for one in connected.connection.secure_migration.load()] == ["node1"]


def test_evidence_is_a_zip_file(connected: Connected) -> None:
    client = connected.connection.secure_migration
    made = client.create_migration(server_id=SERVER, destination="cloud-b.sv2m")
    with zipfile.ZipFile(io.BytesIO(client.download_evidence(made))) as archive:
        assert "README.txt" in archive.namelist()


NO_IDS = ["x" * 300, "../peers/cloud-b.sv2m", "..", ".", "a/b", "a?b", "a#b", "ü ñ", "%2e%2e", f"{ID}/..", f"{ID}\n"]


@pytest.mark.parametrize("given", NO_IDS)
def test_what_is_no_id_goes_nowhere(connected: Connected, given: str) -> None:
    client = connected.connection.secure_migration
    list(client.peers())
    asked = len(connected.requests.request_history)
    for call in (client.get_migration, client.abort_migration, client.download_evidence, client.wait_for_migration):
        with pytest.raises(exceptions.InvalidRequest, match="not the id of a migration"):
            call(given)
    for call in (client.get_peer, client.update_peer, client.delete_peer):
        with pytest.raises(exceptions.InvalidRequest, match="not the name or id of a peer"):
            call(given)
    assert len(connected.requests.request_history) == asked


def test_an_id_may_be_in_any_case(connected: Connected) -> None:
    client = connected.connection.secure_migration
    client.create_migration(id=ID.replace("9", "a"), server_id=SERVER, destination="cloud-b.sv2m")
    assert client.get_migration(ID.replace("9", "A")).phase == "requested"
