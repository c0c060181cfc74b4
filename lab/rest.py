# SPDX-License-Identifier: Apache-2.0
"""A small client for one cloud's APIs, used by a thread in the cloud's network."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import IO, Any

from lab.cloud import Cloud

#: Paths below each service's root, and the microversion asked for.
_ROOTS = {
    "keystone": ("/v3", {}),
    "nova-api": ("/v2.1", {"OpenStack-API-Version": "compute 2.90"}),
    "placement": ("", {"OpenStack-API-Version": "placement 1.39"}),
    "glance": ("/v2", {}),
    "neutron": ("/v2.0", {}),
    "cinder-api": ("/v3", {"OpenStack-API-Version": "volume 3.70"}),
    "barbican": ("/v1", {}),
    "sv2m-api": ("/v1", {"OpenStack-API-Version": "secure-migration 1.0"}),
}


class ApiError(Exception):
    """An API answered with an error."""

    def __init__(self, method: str, url: str, status: int, body: str) -> None:
        super().__init__(f"{method} {url}: {status} {body[:500]}")
        self.status = status


class Client:
    """One user in one project of one cloud."""

    def __init__(self, cloud: Cloud, user: str = "admin", project: str = "admin") -> None:
        self._cloud = cloud
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        default = {"domain": {"id": "default"}}
        password = {"user": {"name": user, "password": cloud.credentials.password(user), **default}}
        identity = {"methods": ["password"], "password": password}
        scope = {"project": {"name": project, **default}}
        self._login = json.dumps({"auth": {"identity": identity, "scope": scope}}).encode()
        self._authenticate()

    def call(self, method: str, service: str, path: str, body: object = None) -> Any:
        """Send JSON to `path` below the service's root and return the JSON answered, if any."""
        root, version = _ROOTS[service]
        return self._send(method, self._cloud.url(service, root + path), body, version)[1]

    def upload(self, path: str, file: IO[bytes], size: int) -> None:
        """Send a file's bytes to Glance."""
        # A file is read once, so that nothing can be sent again when the token has expired.
        self._authenticate()
        url = self._cloud.url("glance", "/v2" + path)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._open(urllib.request.Request(url, file, {**headers, "X-Auth-Token": self._token}, method="PUT"))

    def _authenticate(self) -> None:
        """Get a token; Keystone's are good for an hour."""
        headers = {"Content-Type": "application/json"}
        answered, token = self._open(
            urllib.request.Request(self._cloud.auth_url + "/auth/tokens", self._login, headers, method="POST")
        )
        self._token: str = answered["X-Subject-Token"]
        #: What Keystone says about the token: user, project, roles.
        self.token: dict[str, Any] = token["token"]

    def _send(self, method: str, url: str, body: object, headers: dict[str, str]) -> tuple[Any, Any]:
        data = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "Accept": "application/json", **headers}

        def send() -> tuple[Any, Any]:
            return self._open(
                urllib.request.Request(url, data, {**sent, "X-Auth-Token": self._token}, method=method)
            )

        try:
            return send()
        except ApiError as error:
            if error.status != 401:
                raise
            self._authenticate()
            return send()

    def _open(self, request: urllib.request.Request) -> tuple[Any, Any]:
        try:
            with self._opener.open(request, timeout=180) as answer:
                content = answer.read()
                return answer.headers, json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise ApiError(request.get_method(), request.full_url, error.code, text) from error
