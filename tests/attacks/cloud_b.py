# SPDX-License-Identifier: Apache-2.0
"""Cloud B with its real engine, CMM, AZM, MAM and KM; only OpenStack and the agent around it are in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_policy import opts

from sv2m import errors
from sv2m.azm import client as azm_client
from sv2m.azm import server as azm
from sv2m.azm.agreements import StoredAgreements
from sv2m.cmm import client as cmm_client
from sv2m.db import engine as database
from sv2m.db import migrations, peers
from sv2m.km import client as km_client
from sv2m.km import server as km
from sv2m.km.manager import KeyManager
from sv2m.km.pool import Pool
from sv2m.km.volumes import VolumeImporter
from sv2m.mam import client as mam_client
from sv2m.mam import server as mam
from sv2m.mam.keyring import Keyring
from sv2m.policies.enforcer import Enforcer
from tests.attacks import federation
from tests.attacks.federation import A, B, C, ThirdParty, authority, identity
from tests.protocol import clouds
from tests.protocol.certificates import Identity
from tests.unit.engine.arriving import Destination
from tests.unit.engine.sender import Sender
from tests.unit.km.fakes import OWN, MemoryImages, MemoryKeys, MemoryStorage

PROJECT = "project"
#: Enough for the server that every story moves; "vcpus" is one below the hostile ones.
LIMITS = {"memory_mb": 128, "vcpus": 1, "disk_gb": 2, "migrations": 8}


class Rpc:
    """Calls an endpoint as its RPC client would: every argument by its name."""

    def __init__(self, client: type, endpoint: object) -> None:
        self._client, self._endpoint = client, endpoint

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            bound = inspect.signature(getattr(self._client, method)).bind(self, context, *args, **kwargs)
            named = {name: value for name, value in bound.arguments.items() if name not in ("self", "context")}
            return getattr(self._endpoint, method)(context, **named)

        return call


class CloudB(Destination):
    """A destination with agreements with A and C."""

    def __init__(self, directory: Path) -> None:
        self.third_party = ThirdParty()
        self._policy = directory / "policy.yaml"
        self._policy.write_text("{}")
        super().__init__()

    def agree(self, session: Any) -> None:
        for name in (A, C):
            values = {"ca_pem": authority().pem, "direction": "both", "project_id": PROJECT, "limits": LIMITS}
            peers.create(session, name=name, url=f"https://{name}", **values)

    def modules(self) -> dict[str, Any]:
        with database.session() as session:
            enrolled = bool(federation.certificates.list_all(session))
        if not enrolled:
            federation.enrol(B)
        cmm = self.third_party.cmm()
        self.keys = MemoryKeys()
        self.storage = self.glance.storage = MemoryStorage(self.keys)
        importer = VolumeImporter(self.keys, self.storage, MemoryImages(self.storage), 10)
        manager = KeyManager(self.keys, self.storage, Pool(clouds.ephemeral_key, 0))
        signing = mam.Endpoint(Keyring(cmm, federation.Barbican(B), 0))
        return {
            "cmm": Rpc(cmm_client.Client, cmm),
            "azm": Rpc(azm_client.Client, azm.Endpoint(self._rules(), StoredAgreements(), B)),
            "mam": Rpc(mam_client.Client, signing),
            "km": Rpc(km_client.Client, km.Endpoint(manager, importer, self.keys, lambda: "sv2m")),
        }

    def sender(self, *, me: Identity | None = None, to: Identity | None = None, **how: Any) -> Sender:
        return Sender(self.post, me=me or identity(A), to=to or identity(B), **how)

    def phase_of_calls(self) -> str:
        """Not asked for in stories; each answer is a look into the database."""
        return ""

    def change_agreement(self, peer: str, **values: Any) -> None:
        """What B's operator changes, at once."""
        with database.session() as session:
            peers.update(session, peers.get(session, peer).id, **values)

    def change_policy(self, text: str) -> None:
        """What B's administrator writes into the policy file, before the engine is started."""
        self._policy.write_text(text)
        self.begin()

    def refusal(self, document: bytes) -> errors.SV2MError:
        """Deliver what B must not take. :returns: what B says of it."""
        before = self.phase
        try:
            answer = self.post(document)
        except errors.SV2MError as error:
            assert self.phase in (before, "undoing", "undone")
            return error
        raise AssertionError(f"B took it, and answered {answer!r:.200}")

    def _rules(self) -> Enforcer:
        conf = cfg.ConfigOpts()
        opts.set_defaults(conf)
        conf([], default_config_files=[], default_config_dirs=[])
        conf.set_override("policy_file", str(self._policy), "oslo_policy")
        enforcer = Enforcer(conf)
        enforcer.start()
        return enforcer

    @property
    def rows(self) -> int:
        """How many migrations B's database knows."""
        with database.session() as session:
            return len(migrations.list_page(session, limit=1000))

    @property
    def session_keys(self) -> list[str]:
        """Names of what is in SV2M's own project."""
        return [one.name for one in self.keys.secrets.values() if one.project == OWN]

    @property
    def runs(self) -> bool:
        """The server runs here, once, as an ordinary one; of keys there is its volume's alone."""
        servers = list(self.nova.servers.values())
        ordinary = len(servers) == 1 and servers[0]["status"] == "ACTIVE" and not servers[0]["locked"]
        keys = [(one.project, one.payload) for one in self.keys.secrets.values()]
        return ordinary and self.agent.runs == 1 and keys == [(PROJECT, clouds.EIK)] and not self.lmm.held

    @property
    def untouched(self) -> bool:
        """Nothing is here that was not here before."""
        left = [self.nova.servers, self.neutron.ports, self.glance.images, self.lmm.held]
        left += [self.keys.secrets, self.storage.volumes, self.storage.images]
        return not any(left) and self.agent.state == "unknown" and not self.agent.runs
