# SPDX-License-Identifier: Apache-2.0
"""Agreements and load, through the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sv2m import reporting
from sv2m.db import engine, migrations, services
from tests.unit.api.conftest import API, CA


def wanted(**values: Any) -> dict[str, Any]:
    peer = {"name": "cloud-n.sv2m", "url": "https://n:9891", "ca_pem": CA, "direction": "outgoing"}
    return {"peer": {**peer, **values}}


def test_life_of_an_agreement(api: API) -> None:
    made = api(
        "POST",
        "/v1/peers",
        wanted(direction="both", project_id="p7", limits={"memory_mb": 2048}),
        persona="admin",
    )
    assert made.status_int == 201
    peer = made.json["peer"]
    assert made.headers["Location"].endswith(peer["id"])
    assert (peer["enabled"], peer["limits"], peer["ca_pem"]) == (True, {"memory_mb": 2048}, CA)
    assert peer["effective_limits"] == {"memory_mb": 2048, "vcpus": 8, "migrations": 3}
    assert api.cloud.projects == ["p7"]
    for ref in (peer["id"], peer["name"]):
        assert api("GET", f"/v1/peers/{ref}").json["peer"] == peer
    change = {"peer": {"enabled": False, "limits": {}}}
    changed = api("PATCH", f"/v1/peers/{peer['name']}", change, persona="admin")
    assert (changed.status_int, changed.json["peer"]["enabled"], changed.json["peer"]["limits"]) == (
        200,
        False,
        {},
    )
    assert api.cloud.projects == ["p7"]
    assert api("DELETE", f"/v1/peers/{peer['name']}", persona="admin").status_int == 204
    assert api("GET", f"/v1/peers/{peer['id']}").status_int == 404


def test_only_an_admin_changes_agreements(api: API) -> None:
    assert api("POST", "/v1/peers", wanted()).status_int == 403
    assert api("PATCH", "/v1/peers/cloud-b.sv2m", {"peer": {"enabled": False}}).status_int == 403
    assert api("DELETE", "/v1/peers/cloud-b.sv2m").status_int == 403
    assert api("GET", "/v1/peers", persona="reader").status_int == 403


def test_pages(api: API) -> None:
    first = api("GET", "/v1/peers").json
    assert [peer["name"] for peer in first["peers"]] == ["cloud-b.sv2m", "cloud-in.sv2m"]
    rest = api("GET", first["peers_links"][0]["href"].removeprefix("http://localhost")).json
    assert [peer["name"] for peer in rest["peers"]] == ["cloud-off.sv2m"]
    assert "peers_links" not in rest


@pytest.mark.parametrize(
    "values",
    [
        {"url": "http://n:9891"},
        {"url": "https://user:pw@n"},
        {"url": "https://n:abc"},
        {"url": "https://n:99999"},
        {"url": "https://n:0"},
        {"url": "https://-"},
        {"url": "https://n/path"},
        {"url": "https://n:"},
        {"url": "https://n..m"},
        {"url": "https://[n]"},
        {"url": "https://n\n"},
        {"ca_pem": "not a certificate"},
        {"ca_pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        {"direction": "sideways"},
        {"direction": "incoming"},
        {"limits": {"memory_mb": -1}},
        {"limits": {"colour": 1}},
        {"name": "../etc"},
        {"name": "cloud-a.sv2m"},
        {"volume_type_map": {"plain": ""}},
        {"volume_type_map": {"their-gold": "luks"}},
        {"data_networks": ["192.0.2.7/24"]},
        {"data_networks": ["compute-7"]},
        {"data_networks": "192.0.2.0/24"},
        {"data_networks": ["192.0.2.0/24"] * 101},
        {"secret": "x"},
    ],
)
def test_bad_agreements(api: API, values: dict[str, Any]) -> None:
    response = api("POST", "/v1/peers", wanted(**values), persona="admin")
    assert response.status_int == 400
    assert response.json["error"]["fault"] == "local"


@pytest.mark.parametrize("url", ["https://n.example:65535", "https://192.0.2.1", "https://[2001:db8::1]:9891/"])
def test_urls_of_gateways(api: API, url: str) -> None:
    assert api("POST", "/v1/peers", wanted(url=url), persona="admin").status_int == 201


def test_a_refusal_says_which_role_would_do(api: API) -> None:
    error = api("GET", "/v1/peers", persona="reader").json["error"]
    assert "this needs the role manager, or admin; your roles in this project: reader" in error["message"]
    assert error["code"] == "forbidden"


def test_another_with_the_same_peer(api: API) -> None:
    response = api("POST", "/v1/peers", wanted(name="cloud-b.sv2m"), persona="admin")
    assert (response.status_int, response.json["error"]["code"]) == (409, "peer-exists")


def test_project_that_does_not_exist(api: API) -> None:
    body = wanted(direction="incoming", project_id="missing")
    assert api("POST", "/v1/peers", body, persona="admin").status_int == 404
    assert api("GET", "/v1/peers/cloud-n.sv2m").status_int == 404


def test_name_cannot_change_and_incoming_needs_a_project(api: API) -> None:
    def change(**values: Any) -> int:
        return api("PATCH", "/v1/peers/cloud-b.sv2m", {"peer": values}, persona="admin").status_int

    assert change(name="cloud-c.sv2m") == 400
    assert change(project_id=None) == 400
    assert change() == 400
    assert change(project_id="p3") == 200
    assert api.cloud.projects == ["p3"]


def test_agreement_in_use_is_kept(api: API) -> None:
    with engine.session() as session:
        values = {"id": "m", "role": "source", "peer": "cloud-b.sv2m", "project_id": "p", "phase": "offered"}
        migrations.create(session, **values)
    response = api("DELETE", "/v1/peers/cloud-b.sv2m", persona="admin")
    assert (response.status_int, response.json["error"]["code"]) == (409, "peer-in-use")


def test_load_is_for_admins(api: API) -> None:
    assert api("GET", "/v1/load", persona="admin").json == {"hosts": [{"host": "node1"}], "held": []}
    assert api("GET", "/v1/load").status_int == 403


def test_the_programs_of_sv2m_are_an_administrators_to_see(api: API) -> None:
    reporting.written_down("sv2m-engine", "c1", "1.0")
    with engine.session() as session:
        services.note(session, "sv2m-gateway", "edge", "1.0", datetime.now(UTC) - timedelta(hours=1))
    assert api("GET", "/v1/services", persona="manager").status_int == 403
    shown = api("GET", "/v1/services", persona="admin").json["services"]
    assert [(one["binary"], one["host"], one["version"], one["state"]) for one in shown] == [
        ("sv2m-engine", "c1", "1.0", "up"),
        ("sv2m-gateway", "edge", "1.0", "down"),
    ]
