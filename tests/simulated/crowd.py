# SPDX-License-Identifier: Apache-2.0
"""A cloud from which many servers leave while others arrive: a real engine on a real database."""

from __future__ import annotations

import base64
import copy
import threading
import uuid
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import engine as database
from sv2m.db import migrations, peers
from sv2m.engine.conductor import Conductor
from sv2m.engine.services import Services
from sv2m.engine.worker import Workers
from sv2m.gateway.client import Answer
from tests.protocol import certificates
from tests.simulated.agents import Agents, SendingAgent
from tests.unit.engine import arriving, leaving, surroundings
from tests.unit.engine.sender import Sender

#: The cloud itself; to whom its servers go, honest and not; from whom others come.
HERE, THERE = surroundings.SOURCE, surroundings.DESTINATION
TRICKLER, FROM = certificates.identity("trickler.sv2m"), certificates.identity("cloud-c.sv2m")
#: How often a source asks again before a test calls it stuck.
_ASKS = 20


#: What the id of a server's volume has before the server's.
_VOLUME = "volume-"


class _Server(leaving.Nova):
    """Nova's one server, with a volume of its own."""

    def get(self, server_id: str) -> dict[str, Any]:
        return {**super().get(server_id), "volume_ids": [f"{_VOLUME}{server_id}"]}


class _Azm(leaving.Azm, arriving.Azm):
    """Lets everything out and in."""


class _Storage(leaving.Cinder, arriving.Glance):  # type: ignore[misc]
    """The volumes of those who leave, the blank images and marks of those who arrive."""

    def __init__(self, km: surroundings.Km) -> None:
        arriving.Glance.__init__(self)
        leaving.Cinder.__init__(self, km.stored, "")
        self.storage = km

    def get(self, volume_id: str) -> dict[str, Any]:
        return {**super().get(volume_id), "servers": [volume_id.removeprefix(_VOLUME)]}


class _Ports(leaving.Neutron, arriving.Neutron):
    def __init__(self) -> None:
        leaving.Neutron.__init__(self)
        arriving.Neutron.__init__(self)  # type: ignore[misc]


class _Servers:
    """Nova: the server that a call names, or the placeholders."""

    def __init__(self) -> None:
        self.leaving: dict[str, leaving.Nova] = {}
        self.arriving = arriving.Nova()

    def check_compute(self, host: str) -> None:
        """Its nova-compute is there."""

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nova: Any = self.leaving.get(args[0], self.arriving) if args else self.arriving
            return getattr(nova, method)(*args, **kwargs)

        return call


class _Peers:
    """The other clouds; one of them takes a connection and says a byte now and then."""

    def __init__(self) -> None:
        self.honest: dict[str, leaving.Peer] = {}
        #: Set when the trickler's connections end.
        self.over = threading.Event()
        self.trickling = threading.Semaphore(0)

    def send(self, url: str, tls_ca_pem: str, document: bytes) -> Answer:
        if url == f"https://{TRICKLER.name}":
            self.trickling.release()
            self.over.wait()
            raise errors.PeerUnreachable("the peer's answer took too long")
        return self.honest[p.peek(document).migration_id].send(url, tls_ca_pem, document)


class Crowd:
    """The cloud.

    :param places: how many migrations its engine begins at a time.
    """

    def __init__(self, places: int) -> None:
        self.km, self.agents, self.servers, self.peers = surroundings.Km(), Agents(), _Servers(), _Peers()
        ca = certificates.ca_pem().decode()
        with database.session() as session:
            for one in (THERE, TRICKLER, FROM):
                about = {"ca_pem": ca, "direction": "both", "project_id": "project"}
                peers.create(session, name=one.name, url=f"https://{one.name}", **about)
        self.services = Services(
            conf=surroundings.options(HERE.name),
            cmm=surroundings.Cmm(HERE),  # type: ignore[arg-type]
            azm=_Azm(),  # type: ignore[arg-type]
            lmm=arriving.Lmm(),  # type: ignore[arg-type]
            mam=surroundings.mam(HERE),  # type: ignore[arg-type]
            km=self.km,  # type: ignore[arg-type]
            edm=self.agents,  # type: ignore[arg-type]
            peers=self.peers,  # type: ignore[arg-type]
            servers=self.servers,  # type: ignore[arg-type]
            volumes=_Storage(self.km),
            ports=_Ports(),
        )
        self.workers = self.engine("engine", places)
        self.conductor = Conductor(self.services, self.workers)

    def engine(self, name: str, places: int) -> Workers:
        """One more engine of this cloud."""
        workers = Workers(lambda: self.services, name, places, timedelta(seconds=60))
        workers.start()
        return workers

    def stop(self) -> None:
        """Let everything that hangs go, and end."""
        self.peers.over.set()
        for agent in self.agents.sending.values():
            agent.error, agent.state = {"message": "the test is over"}, "failed"
            agent.ready.set()
        self.workers.stop()

    # -- who leaves ---------------------------------------------------------------------------------------------

    def leave(self, *, to: str = THERE.name, **values: Any) -> str:
        """Begin to move one more server away. :returns: the migration's id."""
        migration_id, server_id = str(uuid.uuid4()), str(uuid.uuid4())
        volume = f"{_VOLUME}{server_id}"
        self.agents.sending[migration_id] = SendingAgent(volume)
        self.servers.leaving[server_id] = _Server(server_id)
        self.km.of[volume] = "eik"
        self.peers.honest[migration_id] = leaving.Peer(HERE)
        copies = self.km.copy_eiks({}, migration_id, {volume: "eik"})["copies"]
        acl = [{"volume_id": volume, "secret_ref": "eik", "added": False}]
        state = {"credentials": {"user_id": "u"}, "found": "ACTIVE", "acl": acl, "copies": copies}
        about = {"role": "source", "peer": to, "server_id": server_id, "project_id": "project", "state": state}
        with database.session() as session:
            migrations.create(session, id=migration_id, **{"phase": "requested", **about, **values})
        self.workers.work_on(migration_id)
        return migration_id

    # -- who arrives --------------------------------------------------------------------------------------------

    def sender(self, needs: Mapping[str, Any] | None = None) -> Sender:
        """One more server that wants to come from :data:`FROM`."""
        return Sender(self.post, me=FROM, to=HERE, needs=copy.deepcopy(dict(needs or {})))

    def post(self, document: bytes) -> bytes | None:
        """Deliver one document, and ask again while the cloud says that it is still working."""
        for _ in range(_ASKS):
            answer = self.conductor.receive({}, surroundings.b64(document))
            if answer["status"] != HTTPStatus.ACCEPTED:
                return base64.b64decode(answer["document_b64"]) if answer["document_b64"] else None
        raise AssertionError("it works for ever")

    def phase(self, migration_id: str) -> str:
        """Where a migration is."""
        with database.session() as session:
            return str(migrations.get(session, migration_id).phase)
