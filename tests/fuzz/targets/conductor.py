# SPDX-License-Identifier: Apache-2.0
"""B's engine behind the gateway, in the phase in which each message is due: only what A has signed moves it on."""

from __future__ import annotations

import base64
import copy
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from typing import Any
from unittest import mock

import sqlalchemy as sa

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import engine, messages, migrations, peers
from sv2m.engine import conductor
from sv2m.engine.work import Work
from sv2m.mam.keyring import Keyring
from sv2m.mam.server import Endpoint
from tests.fuzz import trees
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import databases, vectors
from tests.protocol import certificates
from tests.protocol.clouds import MIGRATION, NOW, Side, nonce
from tests.unit.engine import surroundings

#: A's messages, and after which step B waits for each.
_DUE = {
    "Offer": None,
    "TokenAB": "hear challenge",
    "Envelope": "hear decision",
    "Transfer": "land",
    "Release": "hear prepared",
    "Closure": "hear receipt",
}


class _Cmm(surroundings.Cmm):
    def validate(self, context: dict[str, Any], chain_b64: list[str], name: str, ca_pem: str) -> dict[str, Any]:
        if chain_b64 != [base64.b64encode(one).decode() for one in vectors.identity("cloud-a").chain]:
            raise errors.InvalidCertificate("this is not the certificate of A")
        return {"not_after": "2046-01-01"}


class _Mam(Endpoint):
    def nonce(self, context: dict[str, Any]) -> dict[str, Any]:
        return {"nonce_b64": base64.b64encode(nonce("B")).decode()}


class _Private:
    def read(self, ref: str) -> bytearray:
        return bytearray(vectors.identity("cloud-b").key)


class _Workers:
    """Nobody works: what a message does by itself is looked at, not what follows."""

    stopping = threading.Event()

    def work_on(self, migration_id: str) -> Future[None]:
        done: Future[None] = Future()
        done.set_result(None)
        return done


class _Noon(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return NOW


@functools.cache
def _before(step: str) -> Side:
    """B when a message is due."""
    return vectors.pair(step).b


class _World:
    """A database for each message, in the state in which that message is due."""

    def __init__(self) -> None:
        me = vectors.identity("cloud-b")
        cmm = _Cmm(me)
        self._services = conductor.Services(
            conf=surroundings.options(me.name),
            cmm=cmm,  # type: ignore[arg-type]
            mam=_Mam(Keyring(cmm, _Private(), 60)),  # type: ignore[arg-type]
            **dict.fromkeys(("azm", "lmm", "km", "edm", "peers", "servers", "volumes", "ports")),  # type: ignore[arg-type]
        )
        self.conductor = conductor.Conductor(self._services, _Workers())  # type: ignore[arg-type]
        self._databases = {kind: self._begin(kind) for kind in _DUE}
        self._read = {kind: self._reading(kind) for kind in _DUE if _DUE[kind]}

    def _begin(self, kind: str) -> sa.Engine:
        made = databases.start()
        ca = certificates.ca_pem().decode()
        with engine.session() as session:
            peers.create(
                session, name="cloud-a.sv2m", url="https://a", ca_pem=ca, direction="both", project_id="arrivals"
            )
        self._restore(kind)
        return made

    def _restore(self, kind: str) -> None:
        databases.clear("message_parts", "messages", "ledger", "migrations", "audit_events", "audit_chains")
        step = _DUE[kind]
        if step is None:
            return
        side = _before(step)
        offer = side.machine.message(p.Offer)
        with engine.session() as session:
            migrations.create(
                session,
                id=MIGRATION,
                role="destination",
                peer="cloud-a.sv2m",
                project_id="arrivals",
                phase=side.machine.phase,
                vm_generation=offer.generation,
                needs=offer.needs.to_dict(),
                not_after=offer.not_after,
            )
            for received in side.transcript.values():
                mine = received.kind in ("TokenBA1", "TokenBA2", "Prepared", "Receipt")
                direction = messages.SENT if mine else messages.RECEIVED
                messages.record(session, MIGRATION, received.kind, direction, received.document, received.digest)

    def _reading(self, kind: str) -> Work:
        """The migration, as the engine reads it when this message is due."""
        engine.use(self._databases[kind])
        return Work(self._services, MIGRATION, _Workers.stopping)

    def _begun(self, kind: str) -> Callable[..., Work]:
        """Makes the engine's Work; what it reads from the database is the same for each input, and is read once."""

        def begin(services: conductor.Services, migration_id: str, stopping: threading.Event) -> Work:
            if migration_id != MIGRATION or kind not in self._read:
                return Work(services, migration_id, stopping)
            begun = copy.copy(self._read[kind])
            begun.documents = dict(begun.documents)
            side = _before(str(_DUE[kind]))
            begun.machine = p.Migration.restore("destination", side.machine.me, begun.row.phase, side.transcript)
            return begun

        return begin

    def give(self, data: bytes, kind: str) -> None:
        """Give the engine a document; whatever it took is taken back."""
        made = self._databases[kind]
        engine.use(made)
        before = databases.rows(made, "messages")
        try:
            with (
                mock.patch.object(conductor, "datetime", _Noon),
                mock.patch.object(conductor, "Work", self._begun(kind)),
            ):
                answer = self.conductor.receive({}, base64.b64encode(data).decode())
        except (errors.PeerError, errors.PolicyError, errors.NotFound):
            promise(databases.rows(made, "messages") == before, "a refused document was kept")
            return
        promise(answer["status"] in (200, 202, 204), f"status {answer['status']}")
        if databases.rows(made, "messages") != before:
            promise(data == vectors.document(kind), f"A never signed this {kind}")
            self._restore(kind)


def make() -> Target:
    world = _World()
    seeds = vectors.documents()

    def check(data: bytes) -> None:
        try:
            kind = p.peek(data).kind
        except errors.MalformedMessage:
            kind = "Offer"
        world.give(data, kind if kind in _DUE else "Offer")

    return Target(
        "engine.conductor: messages of peers",
        check,
        seeds,
        ("sv2m.engine", "sv2m.protocol"),
        trees.mutator(seeds),
        max_bytes=16 << 10,
        memory=24 << 20,
    )
