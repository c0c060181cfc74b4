# SPDX-License-Identifier: Apache-2.0
"""Paths, versions, errors, and the pipeline around the application."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
import webob
from oslo_config import cfg
from oslo_context import context as oslo_context

from sv2m import errors
from sv2m.api import deploy
from sv2m.db import engine
from tests.unit.api.conftest import API, SERVER


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


class Caller:
    """Stands for Keystone's middleware: whoever comes is the administrator."""

    def __init__(self, api: API) -> None:
        self._api = api

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ.update(HTTP_X_ROLES="admin", HTTP_X_PROJECT_ID="p1", HTTP_X_USER_ID="u", HTTP_X_AUTH_TOKEN="the-token")
        return self._api.application(environ, start_response)


def large(chunked: bool) -> webob.Request:
    request = webob.Request.blank("/v1/peers", method="POST", content_type="application/json")
    request.environ["wsgi.input"] = io.BytesIO(b"x" * 200_000)
    if chunked:
        request.environ["wsgi.input_terminated"] = True
        request.headers["Transfer-Encoding"] = "chunked"
        request.environ.pop("CONTENT_LENGTH", None)
    else:
        request.content_length = 200_000
    return request


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused_in_our_words(api: API, chunked: bool) -> None:
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    response = large(chunked).get_response(deploy.bounded(Caller(api), conf))
    assert (response.status_int, response.content_type) == (413, "application/json")
    assert response.json["error"]["code"] == "body-too-large"


@pytest.mark.parametrize("failure", [ValueError("Bad chunked transfer size"), OSError("the client has gone")])
def test_a_body_that_cannot_be_read_is_no_failure_of_ours(api: API, failure: Exception) -> None:
    class Broken(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise failure

    request = large(chunked=True)
    request.environ["wsgi.input"] = Broken()
    response = request.get_response(Caller(api))
    assert (response.status_int, response.json["error"]["code"]) == (400, "invalid-request")


def test_what_keystone_refuses_is_told_in_our_words(pipeline: deploy.WSGIApplication) -> None:
    response = webob.Request.blank("/v1/peers").get_response(pipeline)
    assert response.headers["WWW-Authenticate"] == 'Keystone uri="https://keystone"'
    error = response.json["error"]
    assert (error["code"], error["request_id"]) == ("unauthenticated", response.headers["x-openstack-request-id"])


@pytest.mark.parametrize(
    ("status", "code"), [(503, "service-unavailable"), (400, "bad-request"), (502, "internal-error")]
)
def test_any_answer_of_the_middleware_is_told_in_our_words(status: int, code: str) -> None:
    response = webob.Request.blank("/v1/peers").get_response(deploy.InOurWords(webob.Response("<html>", status=status)))
    assert (response.status_int, response.json["error"]["code"]) == (status, code)


def test_middleware_that_fails_says_nothing_of_itself() -> None:
    def failing(environ: Any, start_response: Any) -> Any:
        raise RuntimeError("the password is 123")

    response = webob.Request.blank("/v1/peers").get_response(deploy.InOurWords(failing))
    assert (response.status_int, response.json["error"]["code"]) == (500, "internal-error")
    assert "123" not in response.text


def test_an_unhealthy_health_check_keeps_its_own_form() -> None:
    given = webob.Response("DISABLED", status=503, content_type="text/plain")
    assert webob.Request.blank("/healthcheck").get_response(deploy.InOurWords(given)).text == "DISABLED"


def test_a_method_that_is_not_there_names_those_that_are(api: API) -> None:
    assert api("PUT", "/v1/peers/cloud-b.sv2m").headers["Allow"] == "GET, HEAD, PATCH, DELETE"
    assert api("DELETE", "/v1/load").headers["Allow"] == "GET, HEAD"


def test_head_is_get_without_its_body(api: API) -> None:
    got, head = (api(method, "/v1/peers/cloud-b.sv2m") for method in ("GET", "HEAD"))
    assert (head.status_int, head.headers["Content-Length"]) == (200, got.headers["Content-Length"])
    assert head.body == b""
    assert api("HEAD", "/v1/migrations/11111111-1111-4111-8111-111111111111").status_int == 404
    assert api("HEAD", "/v1/migrations/11111111-1111-4111-8111-111111111111/abort").status_int == 405


def test_a_service_that_is_away_says_when_to_ask_again(api: API, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise errors.ServiceUnavailable("Nova does not answer")

    monkeypatch.setattr(api.cloud, "get", away)
    body = {"migration": {"server_id": SERVER, "destination": "cloud-b.sv2m"}}
    response = api("POST", "/v1/migrations", body)
    assert (response.status_int, response.headers["Retry-After"]) == (503, "10")


def test_nothing_is_said_twice(api: API) -> None:
    response = api("GET", "/v1/migrations?limit=1&limit=2")
    assert (response.status_int, response.json["error"]["message"]) == (400, "query: limit is there twice")
    body = b'{"migration": {"server_id": "%s", "destination": "a", "destination": "b"}}' % SERVER.encode()
    response = api("POST", "/v1/migrations", body)
    assert (response.status_int, response.json["error"]["message"]) == (400, "body: destination is there twice")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/migrations?server_id=x2", "query.server_id: x2 is not a UUID"),
        ("/v1/migrations?limit=-1", "query.limit: -1 is not a number of items (0 to 999999)"),
        ("/v1/migrations?status=x", "query.status: x is none of running, completed, refused, failed, aborted"),
        ("/v1/migrations?colour=x", "query: colour is not known here"),
        (
            "/v1/migrations?changes_since=0001-01-01T00:00%2B14:00",
            "query.changes_since: 0001-01-01T00:00+14:00 is no time",
        ),
        ("/v1/migrations?peer=CLOUD-B", "query.peer: CLOUD-B is not the name of a cloud (a DNS name, in lower case)"),
    ],
)
def test_a_schema_speaks_in_words(api: API, path: str, message: str) -> None:
    response = api("GET", path)
    assert (response.status_int, response.json["error"]["message"]) == (400, message)
def test_the_id_that_a_user_is_told_is_in_the_log(api: API, caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    class Seeing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(oslo_context.get_current().request_id)

    handler = Seeing()
    logging.getLogger("sv2m.api.application").addHandler(handler)
    caplog.set_level("INFO")
    try:
        request = webob.Request.blank("/v1/migrations?limit=x", environ={"openstack.request_id": "req-1"})
        assert request.get_response(api.application).status_int == 400
    finally:
        logging.getLogger("sv2m.api.application").removeHandler(handler)
    assert seen == ["req-1"]
