# SPDX-License-Identifier: Apache-2.0
"""A Placement and a Nova in memory."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Any

from sv2m import errors
from sv2m.clients.nova import Flavor, Hypervisor
from sv2m.clients.placement import Candidate, Inventory


class MemoryPlacement:
    """Hosts with memory; an allocation is made whole or not at all, and only for a new consumer."""

    def __init__(self, **memory_mb: int) -> None:
        self.memory_mb = memory_mb
        self.taken: dict[str, dict[str, dict[str, int]]] = {}
        self.types: dict[str, str] = {}
        self.lost_answers = 0
        self.away = False
        #: Hosts of which Nova knows, and Placement does not.
        self.without: set[str] = set()
        self._lock = threading.Lock()

    def inventories(self, provider: str) -> dict[str, Inventory]:
        if self.away:
            raise errors.ServiceUnavailable("Placement does not answer")
        self._look(provider)
        return {"MEMORY_MB": Inventory(self.memory_mb[provider], 0, 1.0), "VCPU": Inventory(10, 0, 1.0)}

    def usages(self, provider: str) -> dict[str, int]:
        used = {"MEMORY_MB": 0, "VCPU": 0}
        for amounts in self.consumers(provider).values():
            for name, amount in amounts.items():
                used[name] += amount
        return used

    def consumers(self, provider: str) -> dict[str, dict[str, int]]:
        self._look(provider)
        return {name: dict(held[provider]) for name, held in list(self.taken.items()) if provider in held}

    def _look(self, provider: str) -> None:
        if provider in self.without:
            raise errors.NotFound(f"Placement: no resource provider {provider}")

    def candidates(self, resources: Mapping[str, int], required: list[str]) -> list[Candidate]:
        assert required == ["!COMPUTE_STATUS_DISABLED"]
        fits = [one for one in self.memory_mb if self._fits(one, resources)]
        return [Candidate({one: dict(resources)}) for one in fits]

    def _fits(self, provider: str, resources: Mapping[str, int]) -> bool:
        return self.usages(provider)["MEMORY_MB"] + resources["MEMORY_MB"] <= self.memory_mb[provider]

    def allocate(
        self,
        consumer: str,
        allocations: Mapping[str, Mapping[str, int]],
        *,
        consumer_type: str,
        project_id: str,
        user_id: str,
    ) -> bool:
        with self._lock:
            if consumer in self.taken or not all(self._fits(rp, held) for rp, held in allocations.items()):
                return False
            self.taken[consumer] = {rp: dict(held) for rp, held in allocations.items()}
            self.types[consumer] = consumer_type
            if self.lost_answers:
                self.lost_answers -= 1
                return False
            return True

    def allocations(self, consumer: str) -> dict[str, dict[str, int]]:
        return self.taken.get(consumer, {})

    def release(self, consumer: str) -> bool:
        return self.taken.pop(consumer, None) is not None


class MemoryNova:
    """Two flavors, and the hosts it is told of."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.down: set[str] = set()

    def flavors(self, project_id: str | None = None) -> list[Flavor]:
        plain: dict[str, Any] = {"vcpus": 1, "root_gb": 1, "ephemeral_gb": 0, "swap_mb": 0, "extra_specs": {}}
        public = [Flavor(id="f128", name="tiny", memory_mb=128, **plain)]
        private = [Flavor(id="f256", name="private", memory_mb=256, **plain)]
        return public + (private if project_id == "research" else [])

    def hypervisors(self) -> list[Hypervisor]:
        return [
            Hypervisor(one, f"{one}.example", f"host-{one}", one not in self.down, 2) for one in self.names
        ]


class Identity:
    """SV2M's user."""

    def user_id(self) -> str:
        return "sv2m"

    def project_id(self) -> str:
        return "service"


class Known:
    """What the database says."""

    def __init__(self) -> None:
        self.migrations: dict[str, bool] = {}

    def running(self, ids: Collection[str]) -> dict[str, bool]:
        return {one: runs for one, runs in self.migrations.items() if one in ids}
