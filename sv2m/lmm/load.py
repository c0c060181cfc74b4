# SPDX-License-Identifier: Apache-2.0
"""How full the cloud is, read again and again from Placement and Nova's resource tracker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from oslo_log import log

from sv2m import errors
from sv2m.lmm import ports
from sv2m.rounds import Rounds

LOG = log.getLogger(__name__)

#: Emitted once when a host becomes short, and once when it no longer is.
EVENT_SHORT = "secure_migration.load.short"
EVENT_ENOUGH = "secure_migration.load.enough"


@dataclass(frozen=True)
class Thresholds:
    """Above which part of its capacity, in percent, a host is short."""

    vcpus: int
    memory: int
    disk: int


@dataclass(frozen=True)
class HostLoad:
    """One host. Capacities count Placement's reservations and allocation ratios."""

    host: str
    vcpus: int
    vcpus_used: int
    memory_mb: int
    memory_mb_used: int
    disk_gb: int
    disk_gb_used: int
    servers: int
    short: bool
    updated_at: str


class LoadMonitor(Rounds):
    """Reads the load, if no other engine does, in a thread of its own; what it answers is the last complete reading.

    :param reading: the one that all engines share.
    :param interval: seconds between two readings.
    """

    def __init__(
        self,
        placement: ports.Placement,
        compute: ports.Compute,
        notifier: ports.Notifier,
        thresholds: Thresholds,
        interval: float,
        *,
        reading: ports.Reading,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__("Reading the load", interval)
        self._placement = placement
        self._compute = compute
        self._notifier = notifier
        self._thresholds = thresholds
        self._reading = reading
        self._now = now

    def hosts(self) -> list[dict[str, Any]]:
        """Every host's load, by name; before the first reading, it is read now, if that is ours to do."""
        if not self._reading.kept():
            self.look()
        return [asdict(one) for _, one in sorted(_parsed(self._reading.kept()).items())]

    def look(self) -> None:
        """Read now, and notify of what changed since the last reading. Nothing if another engine reads.

        A host that Placement does not know is left out, and named in the log.

        :raises sv2m.errors.SV2MError: Nova or Placement failed; the last reading stays.
        """
        if not self._reading.is_ours():
            return
        fresh: dict[str, HostLoad] = {}
        for one in self._compute.hypervisors():
            with self.each(f"Host {one.host}", errors.NotFound):
                fresh[one.host] = self._load(one)
        before = _parsed(self._reading.kept())
        self._reading.keep(json.dumps([asdict(one) for one in fresh.values()]))
        for name, load in fresh.items():
            was_short = name in before and before[name].short
            if load.short and not was_short:
                LOG.warning("Host %s is short of room: %s", name, _figures(load))
                self._notifier.warn({}, EVENT_SHORT, asdict(load))
            elif was_short and not load.short:
                LOG.info("Host %s is no longer short of room", name)
                self._notifier.info({}, EVENT_ENOUGH, asdict(load))

    def _load(self, hypervisor: ports.Hypervisor) -> HostLoad:
        has = {name: one.capacity for name, one in self._placement.inventories(hypervisor.id).items()}
        used = self._placement.usages(hypervisor.id)
        limits = {
            "VCPU": self._thresholds.vcpus,
            "MEMORY_MB": self._thresholds.memory,
            "DISK_GB": self._thresholds.disk,
        }
        return HostLoad(
            host=hypervisor.host,
            vcpus=has.get("VCPU", 0),
            vcpus_used=used.get("VCPU", 0),
            memory_mb=has.get("MEMORY_MB", 0),
            memory_mb_used=used.get("MEMORY_MB", 0),
            disk_gb=has.get("DISK_GB", 0),
            disk_gb_used=used.get("DISK_GB", 0),
            servers=hypervisor.servers,
            short=_is_short(has, used, limits),
            updated_at=self._now().isoformat(),
        )


def _parsed(reading: str) -> dict[str, HostLoad]:
    return {one["host"]: HostLoad(**one) for one in json.loads(reading or "[]")}


def _is_short(has: Mapping[str, int], used: Mapping[str, int], limits: Mapping[str, int]) -> bool:
    # A class that the host does not offer (its disk may be shared storage) says nothing about it.
    return any(
        has.get(name, 0) > 0 and used.get(name, 0) * 100 > has[name] * percent
        for name, percent in limits.items()
    )


def _figures(load: HostLoad) -> str:
    return (
        f"{load.vcpus_used}/{load.vcpus} vCPUs, {load.memory_mb_used}/{load.memory_mb} MB memory, "
        f"{load.disk_gb_used}/{load.disk_gb} GB disk"
    )
