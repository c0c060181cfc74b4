# SPDX-License-Identifier: Apache-2.0
"""A destination: a real engine on a real database, a cloud in memory, and a scripted source that speaks to it."""

from __future__ import annotations

import base64
import copy
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import engine as database
from sv2m.db import messages, migrations, peers
from sv2m.engine.conductor import Conductor
from sv2m.engine.recovery import Recovery
from sv2m.engine.services import Services
from sv2m.engine.tidying import Tidying
from sv2m.engine.worker import Workers
from tests.protocol import certificates, clouds
from tests.unit.engine import surroundings
from tests.unit.engine.recorder import Killed, Recorder
from tests.unit.engine.sender import Sender
from tests.unit.engine.surroundings import DESTINATION, SOURCE

HOST = "compute-b"
#: How often a source asks again before a test calls it stuck.
_ASKS = 20


class Nova:
    """B's Nova; every server is a placeholder of somebody."""

    def __init__(self) -> None:
        self.servers: dict[str, dict[str, Any]] = {}
        self.quota = 1 << 20

    def check_quota(self, project_id: str, vcpus: int, memory_mb: int) -> None:
        if memory_mb > self.quota:
            raise errors.NoRoom(f"Nova's of MiB of memory ({memory_mb} wanted)")

    def create_placeholder(self, **asked: Any) -> str:
        server_id = str(uuid.uuid4())
        plain = {"id": server_id, "status": "ACTIVE", "locked": False, "lock_reason": None, "task_state": None}
        self.servers[server_id] = {**plain, "host": asked["host"], "asked": asked, "mark": asked["migration_id"]}
        return server_id

    def find_placeholders(self, migration_id: str, project_id: str) -> list[str]:
        found = [one for one in self._in(project_id) if one["mark"] == migration_id and not one.get("arrived")]
        return [one["id"] for one in found if not one.get("untagged")]

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        found = [one for one in self._in(project_id) if one.get("arrived") == migration_id]
        return [one["id"] for one in found if not one.get("untagged")]

    def has_arrived(self, server_id: str, migration_id: str) -> bool:
        return server_id in self.servers and self.get(server_id).get("arrived") == migration_id

    def is_placeholder(self, server_id: str, migration_id: str) -> bool:
        server = self.servers.get(server_id, {})
        return server.get("mark") == migration_id and not server.get("arrived")

    def mark_placeholder(self, server_id: str, migration_id: str) -> None:
        self.get(server_id).update(mark=migration_id, arrived=None)

    def mark_arrived(self, server_id: str, migration_id: str) -> None:
        self.get(server_id).update(mark="arrived", arrived=migration_id)

    def _in(self, project_id: str) -> list[dict[str, Any]]:
        return [one for one in self.servers.values() if one["asked"]["project_id"] == project_id]

    def get(self, server_id: str) -> dict[str, Any]:
        if server_id not in self.servers:
            raise errors.NotFound("no such server")
        return self.servers[server_id]

    def wait_for(self, server_id: str, statuses: set[str], timeout: float) -> dict[str, Any]:
        server = self.get(server_id)
        if server["status"] not in statuses:
            raise errors.HostError(f"the server is {server['status']}")
        return copy.deepcopy(server)

    def suspend(self, server_id: str) -> None:
        self.get(server_id)["status"] = "SUSPENDED"

    def lock(self, server_id: str, reason: str) -> None:
        self.get(server_id).update(locked=True, lock_reason=reason)

    def unlock(self, server_id: str) -> None:
        self.get(server_id).update(locked=False, lock_reason=None)

    def reset_active(self, server_id: str) -> None:
        self.get(server_id)["status"] = "ACTIVE"

    def delete(self, server_id: str, timeout: float) -> None:
        self.servers.pop(server_id, None)


class Neutron:
    """Ports by the migration that they were made for; those of strangers are in ``others``."""

    def __init__(self) -> None:
        self.ports: dict[str, list[dict[str, Any]]] = {}
        self.others: set[str] = set()
        #: Whether the network has port security.
        self.filters = True
        self.networks = {"landing"}
        self.quota = 10

    def check_quota(self, project_id: str, *, group: bool) -> None:
        if self.quota < 1:
            raise errors.NoRoom("Neutron's of ports (1 wanted)" + (", security groups" if group else ""))

    def network_id(self, project_id: str, name: str) -> str:
        if name not in self.networks:
            raise errors.NotFound(f"project {project_id} sees no network of name {name}")
        return name

    def check_mac(self, migration_id: str, project_id: str, network: str, mac_address: str) -> None:
        if mac_address in self.others:
            raise errors.ServerNotMovable(f"a port has the MAC address {mac_address}", code="mac-in-use")

    def create(
        self, migration_id: str, project_id: str, network: str, mac_address: str, security_group: str | None = None
    ) -> SimpleNamespace:
        self.check_mac(migration_id, project_id, network, mac_address)
        port = {
            "id": f"port-{mac_address}",
            "project": project_id,
            "network": network,
            "mac": mac_address,
            "group": security_group or f"empty-{migration_id}",
            "up": False,
        }
        made = self.ports.setdefault(migration_id, [])
        if port["id"] not in [one["id"] for one in made]:
            made.append(port)
        groups = (port["group"],) if self.filters else ()
        return SimpleNamespace(id=port["id"], security_groups=groups)

    def put_up(self, migration_id: str, project_id: str) -> None:
        for port in self.ports.get(migration_id, []):
            port["up"] = True

    def delete_for(self, migration_id: str, project_id: str) -> None:
        self.ports.pop(migration_id, None)

    def mark_arrived(self, migration_id: str, project_id: str) -> None:
        self.put_up(migration_id, project_id)
        if migration_id in self.ports:
            self.ports[f"arrived-{migration_id}"] = self.ports.pop(migration_id)

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        made = self.ports.get(f"arrived-{migration_id}", [])
        return [one["id"] for one in made if one["project"] == project_id]


class Glance:
    """The blank images of servers without a volume, and the marks of volumes, which KM has made."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        self.storage: Any = None
        self.quota = 1000

    def check_quota(self, project_id: str, size_gb: int) -> None:
        if size_gb > self.quota:
            raise errors.NoRoom(f"Cinder's of GiB ({size_gb} wanted)")

    def mark_arrived(self, migration_id: str, project_id: str) -> None:
        self.storage.mark_arrived(migration_id, project_id)

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        found: list[str] = self.storage.find_arrived(migration_id, project_id)
        return found

    def blank_image(self, migration_id: str, project_id: str) -> str:
        return self.images.setdefault(migration_id, f"image-{migration_id}")

    def delete_blank_image(self, migration_id: str) -> None:
        self.images.pop(migration_id, None)


class Lmm:
    """Room for one server after another, unless it is told to be full."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.full = False
        self.hosts = [HOST]

    def fitting(self, context: Any, needs: Any, project_id: str | None = None) -> list[str]:
        return list(self.hosts)

    def hold(
        self, context: Any, migration_id: str, needs: Any, project_id: str | None, avoid: Any, prefer: Any
    ) -> dict[str, Any]:
        self.held.discard(migration_id)
        free = [] if self.full else [host for host in self.hosts if host not in avoid]
        free.sort(key=lambda host: host not in prefer)
        if not free:
            raise errors.NoRoom("no host has room")
        self.held.add(migration_id)
        return {"host": free[0], "flavor_id": "flavor"}

    def release(self, context: Any, migration_id: str) -> None:
        self.held.discard(migration_id)

    def sweep(self, context: Any) -> dict[str, Any]:
        return {"released": []}


class Azm:
    """The agreement lets everything in."""

    def may_accept(self, context: Any, peer: str, needs: dict[str, Any]) -> dict[str, Any]:
        return {"agreement": peer, "project_id": "project"}


class Agent:
    """EDM at the destination's host. What arrived on the data channel is :data:`tests.protocol.clouds.PLAINTEXT`."""

    def __init__(self) -> None:
        self.state = "unknown"
        self.jobs: list[dict[str, Any]] = []
        self.arrived = clouds.manifest()
        self.error: dict[str, str] | None = None
        #: What keeps the restored guest from being run: it is gone.
        self.gone: errors.HypervisorError | None = None
        self.runs = 0
        self.forgotten = False
        #: Where the keys lie, if the test has them there, and those that it could read when it began.
        self.keys: surroundings.Km | None = None
        self.read: set[str] = set()

    def endpoint(self, context: Any, host: str) -> dict[str, Any]:
        return {"host": "192.0.2.1", "port": 4711}

    def reader(self, context: Any, host: str) -> str:
        return f"agent of {host}"

    def start_destination(self, context: Any, host: str, migration_id: str, job: dict[str, Any]) -> dict[str, Any]:
        self.read = self.keys.readable(f"agent of {host}") if self.keys else set()
        if self.state == "unknown":
            self.state = "receiving"
            self.jobs.append(job)
        return self.endpoint(context, host)

    def status(self, context: Any, host: str, migration_id: str) -> dict[str, Any]:
        return {"state": self.state, "seq": 1, "bytes_done": 1, "bytes_total": 2, "bytes_sent": 1, "error": self.error}

    def complete(
        self, context: Any, host: str, migration_id: str, manifest_b64: str, streams: list[dict[str, int]]
    ) -> None:
        signed = p.Manifest.from_xml(base64.b64decode(manifest_b64))
        signed.compare(self.arrived)
        self.state = "restored"

    def check_restored(self, context: Any, host: str, migration_id: str, server_id: str) -> None:
        if self.gone is not None:
            raise self.gone

    def resume(self, context: Any, host: str, migration_id: str, server_id: str) -> None:
        if self.state != "running":
            self.state, self.runs = "running", self.runs + 1

    def abort(self, context: Any, host: str, migration_id: str) -> None:
        if self.state == "running":
            raise errors.Conflict("the guest runs here already; it cannot be undone any more")
        self.state = "unknown"

    def forget(self, context: Any, host: str, migration_id: str) -> None:
        """Only the agent's own bookkeeping goes."""
        self.forgotten = True


class Destination:
    """Cloud B, and a source with one migration of which B has not heard yet."""

    def __init__(self) -> None:
        with database.session() as session:
            self.agree(session)
        self.workers: Workers | None = None
        self.begin()

    # -- what may be made otherwise -----------------------------------------------------------------------------

    def agree(self, session: Any) -> None:
        """Write down the agreements with B's peers."""
        ca = certificates.ca_pem().decode()
        peers.create(session, name=SOURCE.name, url="https://a", ca_pem=ca, direction="both", project_id="project")

    def modules(self) -> dict[str, Any]:
        """CMM, AZM, MAM and KM, by their names in :class:`sv2m.engine.services.Services`."""
        made = {"cmm": surroundings.Cmm(DESTINATION), "azm": Azm(), "mam": surroundings.mam(DESTINATION)}
        self.km = surroundings.Km()
        self.km.stored.clear()
        self.glance.storage = self.km
        self.agent.keys = self.km
        return {**made, "km": self.km}

    def sender(self, **how: Any) -> Sender:
        """Another source, or another migration of the same; see :class:`Sender`."""
        return Sender(self.post, **how)

    # -- its life -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A cloud as new, but for its database, and a new migration."""
        self.stop()
        self.recorder = Recorder(self.phase_of_calls)
        self.nova, self.neutron, self.glance = Nova(), Neutron(), Glance()
        self.lmm, self.agent = Lmm(), Agent()
        around = self.recorder.around
        self.services = Services(
            conf=surroundings.options(DESTINATION.name),
            **{name: around(name, module) for name, module in self.modules().items()},
            lmm=around("lmm", self.lmm),
            edm=around("edm", self.agent),
            peers=None,  # type: ignore[arg-type]
            servers=around("servers", self.nova),
            volumes=around("volumes", self.glance),
            ports=around("ports", self.neutron),
        )
        self.source = self.sender()
        self.start()

    def start(self) -> None:
        """An engine, as after a restart: nothing but the rows is left of the one before."""
        self.workers = Workers(lambda: self.services, "engine-b", 4, timedelta(seconds=60))
        self.workers.start()
        self.conductor = Conductor(self.services, self.workers)

    def stop(self) -> None:
        if self.workers is not None:
            self.workers.stop()

    def post(self, document: bytes) -> bytes | None:
        """Deliver one document, and ask again while B says that it is still working.

        :raises Killed: the recorder was told to kill, and did, before B answered.
        """
        for _ in range(_ASKS):
            self._answer_only_if_alive()
            answer = self.conductor.receive({}, surroundings.b64(document))
            if answer["status"] != HTTPStatus.ACCEPTED:
                return base64.b64decode(answer["document_b64"]) if answer["document_b64"] else None
        raise AssertionError(f"B works for ever in {self.phase}")

    def _answer_only_if_alive(self) -> None:
        if self.recorder.kill_at is not None and len(self.recorder.calls) >= self.recorder.kill_at:
            raise Killed(self.recorder.calls[self.recorder.kill_at - 1])

    def restart(self) -> None:
        """The engine was killed; nothing but its rows is left, and a new one takes them up at once."""
        self.recorder.kill_at = None
        self.stop()
        self.start()
        if self.phase != "none":
            self.look()

    def run(self) -> Any:
        """Everything that is left to say and to do. :returns: the row."""
        self.source.run()
        return self.carry_on()

    def carry_on(self) -> Any:
        """Let the engine do what is its own to do. :returns: the row of :attr:`source`'s migration."""
        assert self.workers is not None
        self.workers.work_on(self.source.id).result(60)
        return self.row

    def look(self, later: timedelta = timedelta()) -> Any:
        """What recovery does when it looks, and what follows from it.

        :param later: how much time has passed.
        """
        assert self.workers is not None
        Recovery(self.services.conf, self.services, self.workers).take_up(datetime.now(UTC) + later)
        return self.carry_on()

    def tidy(self, later: timedelta = timedelta()) -> Any:
        """What the engine does when it tidies up after what has ended. :returns: the row; None when it is gone.

        :param later: how much time has passed.
        """
        tidying = Tidying(self.services.conf, self.services)
        tidying.look(datetime.now(UTC) + later)
        tidying.wait()
        with database.session() as session:
            return migrations.find(session, self.source.id)

    def before(self, call: str, do: Callable[[], Any]) -> None:
        self.recorder.hooks[call] = do

    def phase_of_calls(self) -> str:
        """What the recorder writes down beside each call."""
        return self.phase

    # -- what became of it --------------------------------------------------------------------------------------

    @property
    def row(self) -> Any:
        with database.session() as session:
            return migrations.get(session, self.source.id)

    @property
    def phase(self) -> str:
        with database.session() as session:
            row = migrations.find(session, self.source.id)
        return "none" if row is None else row.phase

    @property
    def documents(self) -> list[str]:
        with database.session() as session:
            return [one.kind for one in messages.list_for(session, self.source.id) if one.kind in p.KINDS]

    @property
    def runs(self) -> bool:
        """The server runs here as an ordinary one, and no key of the session is left."""
        servers = list(self.nova.servers.values())
        ordinary = len(servers) == 1 and servers[0]["status"] == "ACTIVE" and not servers[0]["locked"]
        return ordinary and self.agent.runs == 1 and not self.km.stored and not self.lmm.held

    @property
    def whole(self) -> bool:
        """What arrived is all there, once, and nothing else is."""
        needs = self.source.offer.needs
        made = [len(self.neutron.ports), len(self.km.volumes), len(self.glance.images)]
        wanted = [min(1, len(needs.nics)), sum(bool(disk.volume_gb) for disk in needs.disks), 0]
        arrived = all(server["mark"] == "arrived" for server in self.nova.servers.values())
        arrived = arrived and self.source.id not in (*self.neutron.ports, *self.km.volumes)
        return self.runs and arrived and made == wanted and self.agent.forgotten

    @property
    def untouched(self) -> bool:
        """Nothing is here that was not here before."""
        left = [self.nova.servers, self.neutron.ports, self.glance.images, self.lmm.held, self.km.stored]
        return not any([*left, self.km.volumes]) and self.agent.state == "unknown" and not self.agent.runs
