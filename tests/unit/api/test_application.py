# SPDX-License-Identifier: Apache-2.0
"""Paths, versions, errors, and the pipeline around the application."""

from __future__ import annotations

from pathlib import Path

import pytest
import webob
from oslo_config import cfg

from sv2m.api import deploy
from sv2m.db import engine
from tests.unit.api.conftest import API


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("secure-migration 1.0", 200),
        ("compute 2.90, secure-migration latest", 200),
        ("compute 2.90", 200),
        ("secure-migration 1.1", 406),
        ("secure-migration 0.9", 406),
        ("secure-migration new", 406),
        ("secure-migration", 406),
    ],
)
def test_microversions(api: API, header: str, status: int) -> None:
    response = api("GET", "/v1/migrations", OpenStack_API_Version=header)
    assert response.status_int == status
    assert response.headers["OpenStack-API-Version"] == "secure-migration 1.0"
    assert "OpenStack-API-Version" in response.headers["Vary"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/migrations/../peers", 404),
        ("DELETE", "/v1/migrations", 405),
        ("PUT", "/v1/peers/cloud-b.sv2m", 405),
        ("GET", "/v1/peers/", 200),
    ],
)
def test_paths(api: API, method: str, path: str, status: int) -> None:
    response = api(method, path)
    assert response.status_int == status
    if status != 200:
        assert set(response.json["error"]) == {"code", "message", "remedy", "fault", "request_id"}


def test_unforeseen_failure_says_nothing_of_itself(api: API, caplog: pytest.LogCaptureFixture) -> None:
    engine.use(None)
    response = api("GET", "/v1/peers")
    assert response.status_int == 500
    assert response.json["error"]["code"] == "internal-error"
    assert "database" not in response.text


@pytest.fixture
def pipeline(api: API, tmp_path: Path) -> deploy.WSGIApplication:
    # Even an operator who asks for it does not get an application without authentication.
    (tmp_path / "sv2m.conf").write_text(
        "[keystone_authtoken]\nwww_authenticate_uri = https://keystone\ndelay_auth_decision = true\n"
    )
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[str(tmp_path / "sv2m.conf")], default_config_dirs=[])
    return deploy.build(conf, api.application._services)


def test_health_needs_no_token(pipeline: deploy.WSGIApplication) -> None:
    assert webob.Request.blank("/healthcheck").get_response(pipeline).status_int == 200


def test_versions_need_no_token(pipeline: deploy.WSGIApplication) -> None:
    response = webob.Request.blank("/").get_response(pipeline)
    assert response.status_int == 200
    version = response.json["versions"][0]
    assert (version["status"], version["min_version"], version["max_version"]) == ("CURRENT", "1.0", "1.0")
    assert webob.Request.blank("/v1").get_response(pipeline).json["version"]["id"] == "v1.0"


@pytest.mark.parametrize("path", ["/v1/migrations", "/v1/peers", "/v1/nothing", "/v1/load"])
def test_everything_else_does(pipeline: deploy.WSGIApplication, path: str) -> None:
    # Headers with which somebody from outside says who he is.
    headers = {"X-Roles": "admin", "X-Project-Id": "p1", "X-User-Id": "u", "X-Identity-Status": "Confirmed"}
    response = webob.Request.blank(path, headers=headers).get_response(pipeline)
    assert response.status_int == 401
    assert response.headers["x-openstack-request-id"].startswith("req-")


def test_large_bodies_are_not_read(pipeline: deploy.WSGIApplication) -> None:
    request = webob.Request.blank("/v1/migrations", method="POST", body=b"x" * 200_000)
    assert request.get_response(pipeline).status_int == 413
