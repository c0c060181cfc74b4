# SPDX-License-Identifier: Apache-2.0
"""The clouds of :mod:`tests.attacks` with keys that can be recognised, and with real RPC between their modules."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oslo_messaging

from sv2m import protocol as p
from sv2m import rpc
from sv2m.cmm import client as cmm_client
from sv2m.km import client as km_client
from sv2m.km import server as km
from sv2m.km.manager import KeyManager
from sv2m.km.pool import Pool
from sv2m.km.volumes import VolumeImporter
from sv2m.mam import client as mam_client
from sv2m.mam import server as mam
from sv2m.mam.keyring import Keyring
from tests.attacks import federation
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import CloudB, Rpc
from tests.attacks.federation import A, B
from tests.protocol import clouds
from tests.unit.engine.sender import Sender
from tests.unit.km.fakes import URL, Encryption, MemoryImages, MemoryKeys, MemoryStorage

#: Of this run alone: no half of either is anywhere on this machine because of another run.
VMK, EIK = os.urandom(32), os.urandom(32)
#: Gives clients of a module's endpoint: directly, or over RPC.
Connect = Callable[[type, str, object], Any]


def secrets() -> dict[str, bytes]:
    """Everything that must never be seen, by name."""
    private = {f"private key of {name}": federation.certified(name).key_pem for name in (A, B)}
    return {"VMK": VMK, "EIK": EIK, "ekB": clouds.ephemeral_key()[1], **private}


def directly(client: type, topic: str, endpoint: object) -> Any:
    """No RPC between."""
    return Rpc(client, endpoint)


class Broker:
    """RPC servers and clients on one transport."""

    def __init__(self, transport: oslo_messaging.Transport) -> None:
        self._transport = transport
        self._servers: list[oslo_messaging.RPCServer] = []

    def connect(self, client: type, topic: str, endpoint: object) -> Any:
        server = rpc.server(self._transport, topic, "here", [endpoint])
        server.start()
        self._servers.append(server)
        return client(self._transport, 30)

    def stop(self) -> None:
        for server in self._servers:
            server.stop()
            server.wait()


class _Keys(MemoryKeys):
    """A Barbican whose orders give the key that is looked for."""

    def make_key(self, name: str, bits: int = 256) -> str:
        return self.store(clouds.VMK, name=name, secret_type="symmetric")


class SourceCloud(CloudA):
    """A, with its real KM."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        super().__init__()

    def begin(self) -> None:
        super().begin()
        keys = _Keys()
        storage = MemoryStorage(keys)
        eik = keys.store(clouds.EIK, name="eik", secret_type="symmetric", project_id="project")
        storage.encryptions["volume"] = Encryption(key_id=eik.removeprefix(URL))
        importer = VolumeImporter(keys, storage, MemoryImages(storage), 10)
        manager = KeyManager(keys, storage, Pool(clouds.ephemeral_key, 0))
        cmm = self.third_party.cmm()
        found = self._connect(cmm_client.Client, rpc.TOPIC_CMM, cmm)
        signing = mam.Endpoint(Keyring(found, federation.Barbican(A), 0))
        around = self.recorder.around
        asked = self._connect(km_client.Client, rpc.TOPIC_KM, km.Endpoint(manager, importer, keys, lambda: "sv2m"))
        self.keys = keys
        self.services = dataclasses.replace(
            self.services,
            cmm=around("cmm", found),
            mam=around("mam", self._connect(mam_client.Client, rpc.TOPIC_MAM, signing)),
            km=around("km", asked),
        )
        keys.readable.add(eik)
        self.hand_over(asked, eik)
        keys.readable.clear()


class _Sender(Sender):
    """Wraps the keys that are looked for."""

    def keys(self, vmk: bytes = b"", eik: bytes = b"", **other: Any) -> tuple[p.WrappedKey, ...]:
        return super().keys(vmk or clouds.VMK, eik or clouds.EIK, **other)


class DestinationCloud(CloudB):
    """B, whose modules are asked over what ``connect`` gives."""

    def __init__(self, directory: Path, connect: Connect) -> None:
        self._connect = connect
        super().__init__(directory)

    def sender(self, **how: Any) -> Sender:
        return _Sender(self.post, me=federation.identity(A), to=federation.identity(B), **how)

    def modules(self) -> dict[str, Any]:
        topics = {"cmm": rpc.TOPIC_CMM, "azm": rpc.TOPIC_AZM, "mam": rpc.TOPIC_MAM, "km": rpc.TOPIC_KM}
        made = super().modules()
        return {name: self._connect(made[name]._client, topic, made[name]._endpoint) for name, topic in topics.items()}
