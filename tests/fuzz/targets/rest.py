# SPDX-License-Identifier: Apache-2.0
"""The REST API: methods, paths, queries, headers and bodies of operators, whatever they are: never an error of ours."""

from __future__ import annotations

import io
import json
import random
from typing import Any

from sv2m.api.application import Application
from sv2m.api.ports import Server, Services
from sv2m.db import engine, migrations, peers
from sv2m.policies.enforcer import Enforcer
from tests.fuzz import values
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import databases
from tests.unit.api.conftest import CA, SERVER, Cloud
from tests.unit.engine import surroundings

_MIGRATION = "33333333-3333-4333-8333-333333333333"
_PEER = {"name": "cloud-n.sv2m", "url": "https://cloud-n:9891", "ca_pem": CA, "direction": "both", "project_id": "p9"}
_LIMITS = {
    "limits": {"memory_mb": 1024, "vcpus": 4, "disk_gb": 10, "migrations": 2},
    "volume_type_map": {"aes-xts-plain64-256": "luks"},
    "data_networks": ["192.0.2.0/24"],
}
_NAMES = (*_PEER, *_LIMITS, "id", "server_id", "destination", "enabled", "tls_ca_pem", "migration", "peer")
_JSON = values.mutator(_NAMES)
_PATHS = (
    b"/v1/migrations", b"/v1/migrations?limit=2&marker=" + _MIGRATION.encode(), b"/v1/migrations?status=running&role=x",
    b"/v1/migrations?all_projects=true", b"/v1/peers", b"/v1/peers/cloud-b.sv2m",
    b"/v1/peers?limit=1&marker=cloud-b.sv2m",
    b"/v1/load", b"/v1/migrations/" + _MIGRATION.encode(), b"/v1/migrations/" + _MIGRATION.encode() + b"/abort",
    b"/v1/peers/%ff", b"/v1/peers?marker=%ff", b"/v1/migrations?limit=%0a", b"/v1/peers/x%00y", b"/v1/\xff",
)  # fmt: skip
_TYPES = (b"application/json", b"application/json; charset=x", b"application/json; charset=utf-16", b"text/plain", b"")


class _Forgetful(Cloud):
    """Remembers nothing: a million requests are made of it."""

    def _tell(self, what: str, migration_id: str) -> None:
        return

    def ensure_member(self, project_id: str) -> None:
        return


class _World:
    def __init__(self) -> None:
        self._database = databases.start()
        cloud: Any = _Forgetful(servers={SERVER: Server(SERVER, "web", "p1", "ACTIVE", None, ())})
        cloud.nova.set()
        rules = Enforcer(surroundings.options("cloud-a.sv2m"))
        owned = {"rules": rules, "cloud_name": "cloud-a.sv2m", "owner": "api:node"}
        limits = {"default_limit": 2, "max_limit": 3}
        self._application = Application(Services(*[cloud] * 6, **owned, **limits))  # type: ignore[arg-type]
        self._fill()

    def _fill(self) -> None:
        databases.clear("migrations", "peers", "audit_events", "audit_chains")
        with engine.session() as session:
            for name in ("cloud-b.sv2m", "cloud-c.sv2m"):
                peers.create(session, name=name, url="https://b", ca_pem=CA, project_id="p9", direction="both")
            migrations.create(
                session, id=_MIGRATION, role="destination", peer="cloud-b.sv2m", project_id="p1", phase="offered"
            )

    def ask(self, method: str, target: bytes, content_type: str, body: bytes) -> tuple[int, bytes]:
        engine.use(self._database)
        path, _, query = target.partition(b"?")
        environ = {
            "REQUEST_METHOD": method,
            # PEP 3333: bytes as latin-1, the path with its escapes resolved.
            "PATH_INFO": _unquoted(path).decode("latin-1"),
            "SCRIPT_NAME": "",
            "QUERY_STRING": query.decode("latin-1"),
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_NAME": "api",
            "SERVER_PORT": "9890",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "HTTP_X_AUTH_TOKEN": "the-token",
            "HTTP_X_USER_ID": "user",
            "HTTP_X_PROJECT_ID": "p1",
            "HTTP_X_ROLES": "admin,manager,member,reader",
            "openstack.request_id": "req-1",
        }
        seen: list[tuple[str, list[tuple[str, str]]]] = []
        content = b"".join(self._application(environ, lambda status, headers, *_: seen.append((status, headers))))
        ((status, headers),) = seen
        for name, value in headers:
            promise(not set(name + value) & set("\r\n\0"), "a header with a line end")
        if method not in ("GET", "HEAD") and not status.startswith("4"):
            self._fill()
        return int(status.split()[0]), content


def _unquoted(path: bytes) -> bytes:
    parts = path.split(b"%")
    found = parts[0]
    for part in parts[1:]:
        try:
            found += bytes([int(part[:2], 16)]) + part[2:]
        except ValueError:
            found += b"%" + part
    return found


def _mutate(data: bytes, rng: random.Random) -> bytes:
    line, _, body = data.partition(b"\n")
    method, target, content_type = [*line.split(b" ", 2), b"", b""][:3]
    if rng.random() < 0.15:
        method = rng.choice((b"GET", b"POST", b"PATCH", b"DELETE", b"PUT", b"HEAD"))
    if rng.random() < 0.2:
        target = rng.choice(_PATHS)
    if rng.random() < 0.05:
        content_type = rng.choice(_TYPES)
    return b" ".join((method, target, content_type)) + b"\n" + (_JSON(body, rng) if body else b"")


def make() -> Target:
    world = _World()

    def check(data: bytes) -> None:
        """First line: method, target, media type; the rest is the body."""
        line, _, body = data.partition(b"\n")
        method, target, content_type = [*line.split(b" ", 2), b"", b""][:3]
        status, content = world.ask(method.decode("latin-1"), target, content_type.decode("latin-1").strip(), body)
        promise(status < 500, f"an operator's request makes {status}")
        if status in (200, 201, 202):
            for made in json.loads(content or b"{}").values():
                for name in ("id", "name", "url", "server_id", "peer", "project_id"):
                    shown = made.get(name) if isinstance(made, dict) else None
                    promise("\n" not in (shown or ""), f"{name} has a line end")
        if status >= 400 and method != b"HEAD":
            promise("code" in json.loads(content)["error"], "not an error")

    migration = {"migration": {"server_id": SERVER, "destination": "cloud-b.sv2m", "id": SERVER}}
    json_type = b" application/json\n"
    seeds = (
        b"POST /v1/migrations" + json_type + json.dumps(migration).encode(),
        b"POST /v1/peers" + json_type + json.dumps({"peer": {**_PEER, **_LIMITS}}).encode(),
        b"PATCH /v1/peers/cloud-b.sv2m" + json_type + json.dumps({"peer": {"enabled": False, **_LIMITS}}).encode(),
        b"POST /v1/migrations/" + _MIGRATION.encode() + b"/abort" + json_type + b"{}",
        b"DELETE /v1/peers/cloud-c.sv2m \n",
        *(b"GET " + path + b" \n" for path in _PATHS),
    )
    return Target("api: REST requests", check, seeds, ("sv2m.api",), _mutate, memory=8 << 20)
