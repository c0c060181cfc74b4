# SPDX-License-Identifier: Apache-2.0
"""The modules of an engine, put together: each with what it needs from outside, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import oslo_messaging
from oslo_config import cfg

from sv2m import rpc
from sv2m.azm import agreements
from sv2m.azm import client as azm_client
from sv2m.azm import limits as azm_limits
from sv2m.azm import server as azm
from sv2m.clients.barbican import Barbican
from sv2m.clients.cinder import Cinder
from sv2m.clients.glance import Glance
from sv2m.clients.keystone import Keystone
from sv2m.clients.neutron import Neutron
from sv2m.clients.nova import Nova
from sv2m.clients.placement import Placement
from sv2m.clients.storage import Storage
from sv2m.cmd.program import Part
from sv2m.cmm import client as cmm_client
from sv2m.edm import client as edm_client
from sv2m.edm.brokers import Brokers
from sv2m.engine.authority import TimestampAuthority
from sv2m.engine.notifying import AuditPublisher
from sv2m.engine.services import Services
from sv2m.engine.stamping import Stamper
from sv2m.gateway.client import PeerClient
from sv2m.km import client as km_client
from sv2m.km import server as km
from sv2m.km.manager import KeyManager
from sv2m.km.pool import Pool
from sv2m.km.volumes import VolumeImporter
from sv2m.lmm import client as lmm_client
from sv2m.lmm import server as lmm
from sv2m.lmm.arrivals import Arrivals
from sv2m.lmm.load import LoadMonitor, Thresholds
from sv2m.lmm.room import Room
from sv2m.lmm.shared import SharedReading
from sv2m.mam import client as mam_client
from sv2m.mam import server as mam
from sv2m.mam.keyring import Keyring
from sv2m.policies.enforcer import Enforcer
from sv2m.protocol import encryption

#: Seconds for calls to modules; those in which Cinder or QEMU work set their own.
TIMEOUT = 120.0


@dataclass(frozen=True)
class Module:
    """One RPC endpoint and what must be started before it and stopped after it."""

    topic: str
    endpoint: Any
    parts: Sequence[Part] = ()


def services(conf: cfg.ConfigOpts, transport: oslo_messaging.Transport, agents: Brokers) -> Services:
    """Everything that the conductor calls."""
    keystone = Keystone(conf)
    return Services(
        conf=conf,
        cmm=cmm_client.Client(transport, TIMEOUT),
        azm=azm_client.Client(transport, TIMEOUT),
        lmm=lmm_client.Client(transport, TIMEOUT),
        mam=mam_client.Client(transport, TIMEOUT),
        km=km_client.Client(transport, TIMEOUT, conf.km.volume_timeout),
        edm=edm_client.Client(agents),
        peers=PeerClient(conf.gateway.peer_timeout),
        servers=Nova(keystone),
        volumes=Storage(Cinder(keystone), Glance(keystone)),
        ports=Neutron(keystone),
    )


def evidence(conf: cfg.ConfigOpts) -> Sequence[Part]:
    """What is done about evidence beside the migrations: timestamps, and the audit log's notifications."""
    own = conf.evidence
    # A broker that is away is tried a few times for each event, not for ever: the log itself is in the database.
    notifier = oslo_messaging.Notifier(
        oslo_messaging.get_notification_transport(conf), publisher_id=f"sv2m-engine.{conf.host}", retry=3
    )
    return [
        Stamper(TimestampAuthority.of(conf), own.stamped, own.interval),
        AuditPublisher(notifier, conf.cloud_name, own.interval, f"engine:{conf.host}"),
    ]


def build_azm(conf: cfg.ConfigOpts, transport: oslo_messaging.Transport) -> Module:
    """Authorization."""
    rules = Enforcer(conf)
    stored = agreements.StoredAgreements(azm_limits.defaults(conf.azm))
    return Module(rpc.TOPIC_AZM, azm.Endpoint(rules, stored, conf.cloud_name), [_Starting(rules.start)])


def build_lmm(conf: cfg.ConfigOpts, transport: oslo_messaging.Transport) -> Module:
    """Load monitoring."""
    keystone = Keystone(conf)
    placement, nova = Placement(keystone), Nova(keystone)
    notifier = oslo_messaging.Notifier(
        oslo_messaging.get_notification_transport(conf), publisher_id=f"sv2m-engine.{conf.host}"
    )
    limits = Thresholds(conf.lmm.short_vcpus_percent, conf.lmm.short_memory_percent, conf.lmm.short_disk_percent)
    reading = SharedReading(f"engine:{conf.host}", max(60.0, 3 * conf.lmm.interval))
    monitor = LoadMonitor(placement, nova, notifier, limits, conf.lmm.interval, reading=reading)
    room = Room(placement, nova, keystone, Arrivals())
    return Module(rpc.TOPIC_LMM, lmm.Endpoint(room, monitor), [monitor])


def build_mam(conf: cfg.ConfigOpts, transport: oslo_messaging.Transport) -> Module:
    """Mutual authentication."""
    keyring = Keyring(cmm_client.Client(transport, TIMEOUT), Barbican(Keystone(conf)), conf.mam.key_lifetime)
    return Module(rpc.TOPIC_MAM, mam.Endpoint(keyring), [Stopping(keyring.stop)])


def build_km(conf: cfg.ConfigOpts, transport: oslo_messaging.Transport) -> Module:
    """The key manager."""
    keystone = Keystone(conf)
    barbican, cinder = Barbican(keystone), Cinder(keystone)
    pool = Pool(encryption.new_ephemeral_key, conf.km.ekb_pool_size)
    importer = VolumeImporter(barbican, cinder, Glance(keystone), conf.km.volume_timeout)
    manager = KeyManager(barbican, cinder, pool)
    return Module(rpc.TOPIC_KM, km.Endpoint(manager, importer, barbican, keystone.user_id), [pool])


class _Starting:
    """A part that is only started."""

    def __init__(self, begin: Callable[[], None]) -> None:
        self._begin = begin

    def start(self) -> None:
        """Start it."""
        self._begin()

    def stop(self) -> None:
        """Nothing is held."""


class Stopping:
    """A part that is only stopped."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def start(self) -> None:
        """Nothing is opened ahead."""

    def stop(self) -> None:
        """Stop it."""
        self._end()
