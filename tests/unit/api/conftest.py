# SPDX-License-Identifier: Apache-2.0
"""The API as a WSGI application, over a database of its own and a cloud in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import oslo_messaging
import pytest
import webob
from oslo_config import cfg

from sv2m import errors
from sv2m.api.application import Application
from sv2m.api.ports import Server, Services, VolumeSecret
from sv2m.db import engine, peers, sync
from sv2m.policies.enforcer import Enforcer

SERVER = "11111111-1111-4111-8111-111111111111"
LOCAL_SERVER = "22222222-2222-4222-8222-222222222222"
CA = Path(__file__).with_name("ca.pem").read_text()
ROLES = {
    "admin": ["admin", "manager", "member", "reader"],
    "manager": ["manager", "member", "reader"],
    "member": ["member", "reader"],
    "reader": ["reader"],
}


class Killed(BaseException):
    """SIGKILL."""


@dataclass
class Cloud:
    """Nova, Cinder, Barbican, Keystone and the engine, as far as the API sees them."""

    servers: dict[str, Server] = field(default_factory=dict)
    nova: threading.Event = field(default_factory=threading.Event)
    secrets: dict[str, str] = field(default_factory=dict)
    readers: dict[str, list[str]] = field(default_factory=dict)
    broken_secrets: dict[str, errors.SV2MError] = field(default_factory=dict)
    projects: list[str] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    broker: bool = True
    copied: dict[str, str] = field(default_factory=dict)
    killed: bool = False

    def get(self, token: str, server_id: str) -> Server:
        assert token == "the-token"
        self.nova.wait()
        if server_id not in self.servers:
            raise errors.NotFound(f"there is no server {server_id}")
        return self.servers[server_id]

    def find(self, token: str, volume_ids: Sequence[str]) -> list[VolumeSecret]:
        return [VolumeSecret(one, self.secrets[one]) for one in volume_ids if one in self.secrets]

    def granted(self, token: str, secret_ref: str) -> bool:
        self._alive()
        return "sv2m" in self.readers.get(secret_ref, [])

    def grant(self, token: str, secret_ref: str) -> None:
        self._alive()
        if secret_ref in self.broken_secrets:
            raise self.broken_secrets[secret_ref]
        self.readers.setdefault(secret_ref, []).append("sv2m")

    def revoke(self, token: str, secret_ref: str) -> None:
        self._alive()
        readers = self.readers.get(secret_ref, [])
        if "sv2m" in readers:
            readers.remove("sv2m")

    def copy_eiks(self, context: dict[str, Any], migration_id: str, secrets: dict[str, str]) -> dict[str, Any]:
        self._alive()
        unreadable = [ref for ref in secrets.values() if "sv2m" not in self.readers.get(ref, [])]
        if unreadable:
            raise errors.KeyManagerError(f"Barbican: cannot read {unreadable}")
        self.copied = {volume: f"copy of {ref}" for volume, ref in secrets.items()}
        return {
            "copies": [
                {"volume_id": volume, "ref": ref, "copy_ref": self.copied[volume]} for volume, ref in secrets.items()
            ]
        }

    def _alive(self) -> None:
        if self.killed:
            # Nothing of a process that was killed reaches anybody any more.
            raise Killed

    def ensure_member(self, project_id: str) -> None:
        if project_id == "missing":
            raise errors.NotFound("there is no project missing")
        self.projects.append(project_id)

    def start_migration(self, context: dict[str, Any], migration_id: str) -> None:
        self._tell("start", migration_id)

    def abort_migration(self, context: dict[str, Any], migration_id: str) -> None:
        self._tell("abort", migration_id)

    def load(self, context: dict[str, Any]) -> dict[str, Any]:
        return {"hosts": [{"host": "node1"}], "held": []}

    def _tell(self, what: str, migration_id: str) -> None:
        if not self.broker:
            raise oslo_messaging.MessageDeliveryFailure("no broker")
        self.told.append((what, migration_id))


class API:
    """Calls the application as a persona."""

    def __init__(self, services: Services, cloud: Cloud) -> None:
        self.application = Application(services)
        self.services = services
        self.cloud = cloud

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        persona: str = "manager",
        project: str = "p1",
        **headers: str,
    ) -> webob.Response:
        request = webob.Request.blank(path, method=method)
        request.environ.update(
            {
                "HTTP_X_AUTH_TOKEN": "the-token",
                "HTTP_X_USER_ID": f"user-{persona}",
                "HTTP_X_PROJECT_ID": project,
                "HTTP_X_ROLES": ",".join(ROLES[persona]),
                "openstack.request_id": "req-1",
            }
        )
        if body is not None:
            request.content_type = "application/json"
            request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        return request.get_response(self.application)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[API]:
    conf = cfg.ConfigOpts()
    engine.register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    conf.set_override("connection", f"sqlite:///{tmp_path}/sv2m.sqlite?timeout=60", "database")
    engine.start(conf)
    database = engine.current()
    sync.upgrade(database)
    with engine.session() as session:
        for name, values in {
            "cloud-b.sv2m": {"direction": "both"},
            "cloud-in.sv2m": {"direction": "incoming"},
            "cloud-off.sv2m": {"direction": "both", "enabled": False},
        }.items():
            peers.create(session, name=name, url=f"https://{name}", ca_pem=CA, project_id="p9", **values)
    cloud = Cloud(
        servers={
            SERVER: Server(SERVER, "web", "p1", "ACTIVE", None, ("v1", "v2", "plain")),
            LOCAL_SERVER: Server(LOCAL_SERVER, "db", "p1", "PAUSED", None, ()),
        },
        secrets={"v1": "https://keys/v1/secrets/1", "v2": "https://keys/v1/secrets/2"},
    )
    cloud.nova.set()
    services = Services(
        servers=cloud,
        grants=cloud,
        keys=cloud,
        projects=cloud,
        conductor=cloud,
        load=cloud,
        rules=Enforcer(conf),
        own_limits={"vcpus": 8, "migrations": 3},
        cloud_name="cloud-a.sv2m",
        owner="api:node",
        default_limit=2,
        max_limit=3,
    )
    yield API(services, cloud)
    services.later.close()
    database.dispose()
    engine.use(None)
