# SPDX-License-Identifier: Apache-2.0
"""A source: a real engine on a real database, a cloud in memory, and a scripted destination behind the peer client."""

from __future__ import annotations

import base64
import copy
import uuid
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import engine as database
from sv2m.db import messages, migrations, peers
from sv2m.engine.services import Services
from sv2m.engine.tidying import Tidying
from sv2m.engine.worker import Workers
from sv2m.gateway.client import Answer
from sv2m.protocol import segments
from tests.protocol import certificates, clouds
from tests.protocol.certificates import Identity
from tests.unit.engine import surroundings
from tests.unit.engine.recorder import Recorder
from tests.unit.engine.surroundings import DESTINATION, SOURCE

HOST = "compute-a"


class Peer:
    """The destination's machine, honest unless told otherwise, and idempotent as the protocol wants it."""

    def __init__(self, source: Identity = SOURCE) -> None:
        self.side = clouds.Side("destination", DESTINATION, source)
        self.answers: dict[str, tuple[bytes, Answer]] = {}
        self.decision: p.Accepted | p.Refused = p.Accepted(clouds.ephemeral_key()[0], "192.0.2.1", 4711)
        self.resumes = True
        #: Kind and bytes of everything that the source sent, in order.
        self.sent: list[tuple[str, bytes]] = []
        #: Taken one by one before the honest answers to messages of this kind.
        self.instead: dict[str, list[Answer | Exception]] = {}

    def send(self, url: str, tls_ca_pem: str, document: bytes) -> Answer:
        kind = p.peek(document).kind
        self.sent.append((kind, document))
        if self.instead.get(kind):
            answer = self.instead[kind].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if kind not in self.answers:
            self.side.receive(document, datetime.now(UTC))
            reply = getattr(self, f"_{kind.lower()}")()
            self.answers[kind] = (document, Answer(True, self.side.document(reply) if reply else None))
        taken, answer = self.answers[kind]
        if taken != document:
            raise errors.RefusedByPeer(f"another {kind} was taken", code="replayed-message")
        return answer

    def _offer(self) -> str:
        me = p.Party(self.side.identity.name, self.side.identity.chain)
        self.side.local(p.ChallengeDue(me, clouds.nonce("B"), datetime.now(UTC)))
        return "TokenBA1"

    def _tokenab(self) -> str:
        accepted = isinstance(self.decision, p.Accepted)
        self.side.local(p.RoomHeld(self.decision) if accepted else p.RoomRefused(self.decision))
        return "TokenBA2"

    def _envelope(self) -> None:
        self.side.local(p.LandingReady())

    def _transfer(self) -> str:
        machine = self.side.machine
        opened = segments.open_signature(clouds.VMK, machine.message(p.Transfer).sealed_signature)
        context, manifest = p.verify_manifest(opened, self.side.peer.leaf)
        machine.check_trailer(opened, context, manifest).compare(clouds.manifest())
        self.side.local(p.Restored())
        return "Prepared"

    def _release(self) -> str:
        now = datetime.now(UTC)
        self.side.local(p.Resumed(now) if self.resumes else p.CannotResume("host-died", now))
        return "Receipt"

    def _closure(self) -> None:
        """Taken; there is no reply."""


#: How often a wait looks at a server before a test calls the server stuck.
_LOOKS = 20


class Nova:
    """One server, as Nova shows it: what it was asked for is a task at once, and a status some time later."""

    def __init__(self, server_id: str) -> None:
        self.exists, self.status = True, "ACTIVE"
        self.name, self.host, self.volume_ids = "web", HOST, ["volume"]
        #: What it does with the server just now.
        self.task: str | None = None
        self.lock_reason: str | None = None
        self.paused = 0
        #: Who asked for the last pause.
        self.paused_by = ""
        #: How often the server can be looked at before a task is done.
        self.slow = 0
        #: When Nova noticed that it had ended by itself.
        self.ended: datetime | None = None
        #: It stands still although Nova takes it for running, or the other way round.
        self.misread = False
        #: So often it stands still yet when Nova has let it go on: nova-compute failed at what it was asked for again.
        self.vain = 0
        #: Whether that shows in the power state that it wrote down.
        self.power_is_known = True
        #: It was told once that the server runs, by whoever had looked.
        self.told_active = 0
        #: For which tasks, at each settling, what was lost was to be asked for again.
        self.settled: list[tuple[str, ...]] = []
        self._id = server_id
        self._coming: tuple[int, str] | None = None

    @property
    def stands(self) -> bool:
        """Whether its vCPUs stand still, whatever Nova takes it for."""
        return self.misread if self.status == "ACTIVE" else not self.misread

    @property
    def locked(self) -> bool:
        return self.lock_reason is not None

    def get(self, server_id: str) -> dict[str, Any]:
        if not self.exists:
            raise errors.NotFound("no such server")
        self._work()
        flavor = {"disk": 1, "ephemeral": 0, "swap": 0}
        power = "paused" if self.status == "PAUSED" or (self.stands and self.power_is_known) else "running"
        described = {"id": server_id, "name": self.name, "status": self.status, "task_state": self.task, "power": power}
        lock = {"locked": self.locked, "lock_reason": self.lock_reason}
        where = {"host": self.host, "volume_ids": list(self.volume_ids)}
        return {**described, **lock, **where, "config_drive": "", "flavor": flavor}

    def lock(self, server_id: str, reason: str) -> None:
        self.lock_reason = reason

    def unlock(self, server_id: str) -> None:
        self.lock_reason = None

    def pause(self, server_id: str, by: str = "sv2m") -> None:
        self._begin("pausing", "ACTIVE", "PAUSED")
        self.paused, self.paused_by = self.paused + 1, by

    def reset_active(self, server_id: str) -> None:
        self.status, self.misread, self.told_active = "ACTIVE", False, self.told_active + 1

    def unpause(self, server_id: str) -> None:
        self._begin("unpausing", "PAUSED", "ACTIVE")
        self.misread, self.vain = self.vain > 0, max(0, self.vain - 1)

    def die(self, noticed: datetime | None = None) -> None:
        """Its QEMU ends, and Nova notices that, and stops it."""
        self.status, self.task, self._coming, self.ended = "SHUTOFF", None, None, noticed or datetime.now(UTC)

    def stop(self, server_id: str) -> None:
        """Its owner stops it."""
        self.status, self.ended = "SHUTOFF", None

    def start(self, server_id: str) -> None:
        """Its owner starts it."""
        self.status = "ACTIVE"

    def ended_by_itself(self, server_id: str) -> datetime | None:
        return self.ended

    def _begin(self, task: str, status: str, becomes: str) -> None:
        if self.status != status or self.task is not None:
            raise errors.HostError(f"Nova: the server is {self.status} ({self.task})", code="service-conflict")
        self.task, self._coming = task, (self.slow, becomes)
        if not self.slow:
            self._work()

    def _work(self) -> None:
        if self._coming is not None:
            looks, becomes = self._coming
            self._coming = (looks - 1, becomes)
            if looks == 0:
                self.status, self.task, self._coming = becomes, None, None

    def wait_for(
        self,
        server_id: str,
        statuses: set[str],
        timeout: float,
        *,
        ours: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        assert self.locked or not ours, "what Nova does with a server that is not locked its owner may have asked for"
        for _ in range(_LOOKS):
            server = self.get(server_id)
            if server["status"] in statuses and server["task_state"] is None:
                return server
            meanwhile()
        raise errors.HostError(f"the server is {self.status}")

    def settle(self, server_id: str, timeout: float, ours: Collection[str] = ()) -> dict[str, Any]:
        self.settled.append(tuple(ours))
        for _ in range(_LOOKS):
            server = self.get(server_id)
            if server["task_state"] is None:
                return server
        raise errors.HostError(f"the server is still {self.task}")

    def paused_by_us(self, server_id: str) -> bool:
        return self.paused_by == "sv2m"

    def check_compute(self, host: str) -> None:
        """Its nova-compute is there."""

    def delete(self, server_id: str, timeout: float) -> None:
        self.exists = False


class Cinder:
    """One volume; its key goes with it.

    :param keys: Barbican's.
    """

    def __init__(self, keys: dict[str, bytes], attached_to: str) -> None:
        self.exists = True
        self.attached_to = attached_to
        self._keys = keys
        self.snapshot_ids: list[str] = []
        #: What differs from an ordinary volume, and from an ordinary encryption.
        self.volume: dict[str, Any] = {}
        self.encrypted_by: dict[str, Any] = {}

    def get(self, volume_id: str) -> dict[str, Any]:
        plain = {"size": 1, "encrypted": True, "multiattach": False, "group": "", "servers": [self.attached_to]}
        return {**plain, "status": "in-use", "migration_status": "", **self.volume}

    def encryption(self, volume_id: str) -> dict[str, Any]:
        luks = {"provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"}
        return {**luks, **self.encrypted_by}

    def snapshots(self, volume_id: str) -> list[str]:
        return self.snapshot_ids

    def delete(self, volume_id: str, timeout: float) -> None:
        self.exists = False
        self._keys.pop("eik", None)


class Neutron:
    """Ports that SV2M made when the server arrived here; none, unless told otherwise."""

    def __init__(self) -> None:
        self.ports: list[str] = []
        self.owners: list[Any] = []

    def made_for(self, server_id: str) -> list[str]:
        return list(self.ports)

    def others_of(self, server_id: str) -> list[str]:
        return [port.id for port in self.owners]

    def still_there(self, port_ids: list[str]) -> list[Any]:
        return [port for port in self.owners if port.id in port_ids]

    def delete_port(self, port_id: str) -> None:
        self.ports.remove(port_id)


class Agent:
    """EDM at the source's host; every job goes as far as it is told, at once."""

    def __init__(self) -> None:
        self.state = "unknown"
        self.needs: dict[str, Any] = {}
        #: What else it says of the server; and so often it needs another round when it is asked once more.
        self.described: dict[str, Any] = {}
        self.busy = 0
        self.changed = False
        self.waits = 0
        #: Of whose server it says whether it goes on; as a host without any if there is none.
        self.sees: Nova | None = None
        self.error: dict[str, str] | None = None
        #: Where the keys lie, if the test has them there, and those that it could read when it began.
        self.keys: surroundings.Km | None = None
        self.read: set[str] = set()
        #: Bytes of the disk, None for the usual one's.
        self.disk_size: int | None = None

    def describe(self, context: Any, host: str, server_id: str) -> dict[str, Any]:
        needs = {**copy.deepcopy(clouds.NEEDS), **self.needs}
        cinders = ("volume_gb", "cipher", "key_size")
        disk = {key: value for key, value in needs["disks"][0].items() if key not in cinders}
        needs["disks"] = [{**disk, "size": self.disk_size or disk["size"], "serial": "volume"}]
        streams = [{"kind": "memory", "index": 0, "size": 128 << 20}, {"kind": "disk", "index": 0, "size": 1 << 30}]
        return {"needs": needs, "power": "running", "streams": streams, **self.described}

    def reader(self, context: Any, host: str) -> str:
        return f"agent of {host}"

    def start_source(self, context: Any, host: str, migration_id: str, job: dict[str, Any]) -> None:
        self.read = self.keys.readable(f"agent of {host}") if self.keys else set()
        if self.state == "unknown":
            self.state = "ready"

    def may_stop(self, context: Any, host: str, migration_id: str) -> bool:
        if self.busy:
            self.busy -= 1
            return False
        return True

    def stop_and_finish(self, context: Any, host: str, migration_id: str) -> None:
        self.state = "sealed"

    def wait(self, context: Any, host: str, migration_id: str, sequence: int, timeout: float) -> dict[str, Any]:
        self.waits += 1
        if self.waits > 50:
            raise errors.AgentLost(f"asked for ever for something else than {self.state}")
        return {"state": self.state, "seq": 1, "bytes_done": 1, "bytes_total": 2, "bytes_sent": 1, "error": self.error}

    def manifest(self, context: Any, host: str, migration_id: str) -> dict[str, Any]:
        streams = [{"id": one.id, "segments": one.segments, "length": one.length} for one in clouds.SUMMARIES]
        return {"manifest_b64": base64.b64encode(clouds.manifest().to_xml()).decode(), "streams": streams}

    def check_unchanged(self, context: Any, host: str, migration_id: str) -> None:
        if self.changed:
            raise errors.Conflict("the guest has run since it was sealed", code="guest-ran")

    def abort(self, context: Any, host: str, migration_id: str, patience: float) -> None:
        self.state = "unknown"

    def power(self, context: Any, host: str, server_id: str, patience: float) -> str:
        if self.sees is None:
            return "off"
        return "paused" if self.sees.stands else "running"

    def check_removed(self, context: Any, host: str, server_id: str) -> None:
        """It is not there any more."""

    def forget(self, context: Any, host: str, migration_id: str) -> None:
        self.state = "unknown"


class Azm:
    def may_start(self, context: Any, credentials: Any, server: dict[str, Any], peer: str) -> dict[str, Any]:
        return {"agreement": peer}


class Source:
    """Cloud A and one migration in its phase ``requested``."""

    def __init__(self) -> None:
        self.identity = SOURCE
        with database.session() as session:
            ca = certificates.ca_pem().decode()
            peers.create(session, name=DESTINATION.name, url="https://b", ca_pem=ca, direction="both")
        self.workers: Workers | None = None
        self.begin()

    def begin(self) -> None:
        """A cloud as new, and a new migration of a new server."""
        self.stop()
        self.recorder = Recorder(lambda: self.row.phase)
        self.server_id, self.id = str(uuid.uuid4()), str(uuid.uuid4())
        self.km, self.peer = surroundings.Km(), Peer(self.identity)
        self.nova, self.cinder, self.agent = Nova(self.server_id), Cinder(self.km.stored, self.server_id), Agent()
        self.neutron = Neutron()
        self.agent.keys = self.km
        around = self.recorder.around
        self.services = Services(
            conf=surroundings.options(self.identity.name),
            cmm=around("cmm", surroundings.Cmm(self.identity)),
            azm=around("azm", Azm()),
            lmm=None,  # type: ignore[arg-type]
            mam=around("mam", surroundings.mam(self.identity)),
            km=around("km", self.km),
            edm=around("edm", self.agent),
            peers=around("peers", self.peer),
            servers=around("servers", self.nova),
            volumes=around("volumes", self.cinder),
            ports=around("ports", self.neutron),
        )
        self.request(self.id, {"credentials": {"user_id": "u"}, "found": "ACTIVE"})
        self.hand_over(self.km)
        self.start()

    def request(self, id: str, state: dict[str, Any] | None = None) -> None:
        """The row that the API writes when somebody asks for a migration of the server."""
        with database.session() as session:
            migrations.create(
                session,
                id=id,
                role="source",
                peer=DESTINATION.name,
                server_id=self.server_id,
                project_id="project",
                phase="requested",
                state=state or {},
            )

    def hand_over(self, km: Any, ref: str = "eik") -> None:
        """What the API does before an engine gets the migration: the key of the server's volume is copied."""
        acl = [{"volume_id": "volume", "secret_ref": ref, "added": False}]
        copies = km.copy_eiks({}, self.id, {"volume": ref})["copies"]
        self.remember(acl=acl, copies=copies)

    def remember(self, **state: Any) -> None:
        """Something else stands in the row."""
        with database.session() as session:
            row = migrations.get(session, self.id)
            migrations.advance(session, row.id, row.phase, row.generation, row.phase, state={**row.state, **state})

    def start(self) -> None:
        """An engine, as after a restart: nothing but the rows is left of the one before."""
        self.workers = Workers(lambda: self.services, "engine-a", 2, timedelta(seconds=60))
        self.workers.start()

    def stop(self) -> None:
        if self.workers is not None:
            self.workers.stop()

    def run(self) -> Any:
        """Carry on until nothing is left to do. :returns: the row."""
        assert self.workers is not None
        self.workers.work_on(self.id).result(60)
        return self.row

    def tidy(self, later: timedelta = timedelta()) -> Any:
        """What the engine does when it tidies up after what has ended. :returns: the row.

        :param later: how much time has passed.
        """
        tidying = Tidying(self.services.conf, self.services)
        tidying.look(datetime.now(UTC) + later)
        tidying.wait()
        return self.row

    def before(self, call: str, do: Callable[[], Any]) -> None:
        self.recorder.hooks[call] = do

    def abort(self) -> None:
        with database.session() as session:
            migrations.request_abort(session, self.id)

    @property
    def row(self) -> Any:
        with database.session() as session:
            return migrations.get(session, self.id)

    @property
    def documents(self) -> list[str]:
        with database.session() as session:
            return [one.kind for one in messages.list_for(session, self.id) if one.kind in p.KINDS]

    def kept(self, kind: str) -> bytes | None:
        """What is kept under this name, message or not."""
        with database.session() as session:
            entry = messages.find(session, self.id, kind)
            return None if entry is None else entry.document

    @property
    def sent(self) -> list[tuple[str, bytes]]:
        return self.peer.sent

    @property
    def at_home(self) -> bool:
        """The server runs here as before, when Nova has done what it was asked, and nothing of the attempt is left."""
        running = self.nova.exists and self.nova.settle(self.server_id, 1)["status"] == "ACTIVE"
        server = running and not self.nova.locked
        return server and self.agent.state == "unknown" and set(self.km.stored) == {"eik"} and self.cinder.exists

    @property
    def gone(self) -> bool:
        """Nothing of the server is left here."""
        left = self.nova.exists or self.cinder.exists or self.km.stored or self.neutron.ports
        return not left and self.agent.state == "unknown"
