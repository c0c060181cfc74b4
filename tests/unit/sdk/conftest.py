# SPDX-License-Identifier: Apache-2.0
"""A cloud's catalog, with the real API application behind its secure-migration endpoint."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openstack
import pytest
import requests_mock as requests_mock_module
import webob
from keystoneauth1 import fixture as ks_fixture

from sv2m.api import deploy
from sv2m.api.application import Application
from sv2m.sdk.service import SecureMigrationService
from tests.unit.api.conftest import API, ROLES, SERVER, api  # noqa: F401 - a fixture

KEYSTONE = "http://keystone/v3"
NOVA = "http://nova/v2.1"
SV2M = "http://sv2m:9890"


@dataclass
class Connected:
    """A connection, and what answers it."""

    connection: Any
    api: API
    requests: requests_mock_module.Mocker
    #: As whom the requests arrive.
    persona: str = "manager"

    def answer(self, request: Any, context: Any) -> Any:
        """Hand a request to the application, as keystonemiddleware would."""
        parts = urlsplit(request.url)
        blank = webob.Request.blank(f"{parts.path}?{parts.query}", base_url=SV2M, method=request.method)
        blank.body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        for name, value in request.headers.items():
            if name.lower() not in ("content-length", "host"):
                blank.headers[name] = value
        assert parts.path in ("", "/", "/v1", "/v1/") or "X-Auth-Token" in blank.headers, request.url
        blank.environ.update(
            {
                "HTTP_X_AUTH_TOKEN": "the-token",
                "HTTP_X_USER_ID": f"user-{self.persona}",
                "HTTP_X_PROJECT_ID": "p1",
                "HTTP_X_ROLES": ",".join(ROLES[self.persona]),
            }
        )
        response = blank.get_response(self.api.application)
        context.status_code = response.status_int
        context.headers.update(response.headers)
        return io.BytesIO(response.body)


class Versioned:
    """The versions, which the pipeline answers before authentication."""

    def __init__(self, application: Application) -> None:
        self.application = deploy.Public(application, application)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.application(environ, start_response)


@pytest.fixture
def connected(api: API, requests_mock: requests_mock_module.Mocker, tmp_path: Path) -> Connected:  # noqa: F811
    token = ks_fixture.V3Token(project_id="p1")
    for kind, url in (("identity", KEYSTONE), ("compute", NOVA), ("secure-migration", SV2M)):
        token.add_service(kind).add_standard_endpoints(public=url)
    requests_mock.get("http://keystone/", json=ks_fixture.DiscoveryList(href=KEYSTONE, v2=False))
    requests_mock.get(KEYSTONE, json={"version": ks_fixture.V3Discovery(KEYSTONE)})
    requests_mock.post(f"{KEYSTONE}/auth/tokens", json=token, headers={"X-Subject-Token": "x"})
    nova = ks_fixture.DiscoveryList(v2=False, v3=False)
    nova.add_nova_microversion(href=NOVA, id="v2.1", status="CURRENT", version="2.100", min_version="2.1")
    requests_mock.get(NOVA, json=nova)
    requests_mock.get(f"{NOVA}/servers/web", status_code=404)
    requests_mock.get(f"{NOVA}/servers/detail?name=web", json={"servers": [{"id": SERVER, "name": "web"}]})
    requests_mock.get(f"{NOVA}/servers/{SERVER}", json={"server": {"id": SERVER, "name": "web"}})
    requests_mock.get(f"{NOVA}/servers/nothing", status_code=404)
    requests_mock.get(f"{NOVA}/servers/detail?name=nothing", json={"servers": []})
    api.application = Versioned(api.application)  # type: ignore[assignment]
    connection = openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth={
            "auth_url": KEYSTONE,
            "username": "u",
            "password": "p",
            "project_id": "p1",
            "user_domain_id": "default",
        },
        region_name=None,
    )
    connection.add_service(SecureMigrationService())
    whole = Connected(connection, api, requests_mock)
    requests_mock.register_uri(requests_mock_module.ANY, re.compile(f"^{SV2M}"), body=whole.answer)
    return whole
