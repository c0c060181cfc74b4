# SPDX-License-Identifier: Apache-2.0
"""A Keystone with a catalog, and the other services answering what a test says, all at requests' edge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests_mock
from keystoneauth1 import fixture as ks_fixture
from oslo_config import cfg

from sv2m.clients.keystone import Keystone
from sv2m.conf import service_credentials

AUTH = "http://keystone.test/v3"
PROJECT = "b" * 32
USER = "c" * 32
ENDPOINTS = {
    "compute": "http://nova.test/v2.1",
    "placement": "http://placement.test",
    "block-storage": "http://cinder.test/v3",
    "network": "http://neutron.test",
    "image": "http://glance.test",
    "key-manager": "http://barbican.test",
    "identity": AUTH,
}


def versions(url: str, number: str) -> dict[str, Any]:
    """A version document as services show it to clients that look for one."""
    link = [{"rel": "self", "href": url}]
    return {
        "versions": [
            {"id": f"v{number}", "status": "CURRENT", "links": link, "version": "", "min_version": ""}
        ]
    }


class Cloud:
    """What the services answer."""

    def __init__(self, http: requests_mock.Mocker) -> None:
        self.http = http
        self.tokens: list[dict[str, Any]] = []
        http.post(f"{AUTH}/auth/tokens", json=self._token, headers={"X-Subject-Token": "t0ken"})
        http.get(
            AUTH,
            json={"version": {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": AUTH}]}},
        )
        self.hosts("up")
        http.get("http://cinder.test/v3", json=versions("http://cinder.test/v3/", "3.0"))
        http.get("http://neutron.test", json=versions("http://neutron.test/v2.0/", "2.0"))
        http.get("http://glance.test", json=versions("http://glance.test/v2/", "2.16"))
        barbican = {
            "id": "v1",
            "status": "CURRENT",
            "min_version": "1.0",
            "max_version": "1.1",
            "links": [{"rel": "self", "href": "http://barbican.test/v1/"}],
        }
        http.get("http://barbican.test", json={"versions": [barbican]})
        http.get("http://barbican.test/v1/", json={"version": barbican})

    def hosts(self, *states: str) -> requests_mock.adapter._Matcher:
        """What Nova knows of its hosts: up, down, or unknown, where their cell does not answer."""
        known = {"id": "c1", "updated_at": "2026-01-01T12:00:00.000000", "status": "enabled"}
        found = [
            {"binary": "nova-compute", "host": f"compute-{number}"}
            | ({"status": "UNKNOWN"} if state == "unknown" else {**known, "state": state})
            for number, state in enumerate(states)
        ]
        return self.http.get("http://nova.test/v2.1/os-services?binary=nova-compute", json={"services": found})

    def _token(self, request: Any, context: Any) -> dict[str, Any]:
        self.tokens.append(request.json()["auth"])
        token = ks_fixture.V3Token(user_id=USER, project_id=PROJECT)
        for kind, url in ENDPOINTS.items():
            token.add_service(kind).add_standard_endpoints(internal=url)
        answer: dict[str, Any] = dict(token)
        return answer


def conf_with(**changes: Any) -> cfg.ConfigOpts:
    """A configuration with working [service_credentials], but for the changes."""
    conf = cfg.ConfigOpts()
    service_credentials.register_opts(conf)
    Keystone(conf)
    conf([])
    values = {"auth_type": "password", **changes}
    for name, value in values.items():
        conf.set_override(name, value, "service_credentials")
    if values["auth_type"] == "password":
        from keystoneauth1 import loading

        loading.load_auth_from_conf_options(conf, "service_credentials", auth_url=AUTH)
        for name, value in {
            "auth_url": AUTH,
            "username": "sv2m",
            "password": "secret-word",
            "user_domain_name": "Default",
            "project_name": "service",
            "project_domain_name": "Default",
        }.items():
            conf.set_override(name, value, "service_credentials")
    return conf


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """The services."""
    with requests_mock.Mocker() as http:
        yield Cloud(http)


@pytest.fixture
def keystone(cloud: Cloud) -> Keystone:
    """The sessions of SV2M's user there."""
    return Keystone(conf_with())
