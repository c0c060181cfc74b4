# SPDX-License-Identifier: Apache-2.0
"""Placement: how much each host has, how much is taken, and allocations under names of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sv2m import errors
from sv2m.clients.keystone import Keystone
from sv2m.clients.rest import RestService

#: 1.38 brought consumer types.
MICROVERSION = "1.38"


@dataclass(frozen=True)
class Inventory:
    """What one provider has of one resource class."""

    total: int
    reserved: int
    allocation_ratio: float

    @property
    def capacity(self) -> int:
        """What may be allocated in all: (total - reserved) * allocation_ratio, as Placement itself counts."""
        return int((self.total - self.reserved) * self.allocation_ratio)


@dataclass(frozen=True)
class Candidate:
    """One way in which Placement could satisfy a request."""

    allocations: Mapping[str, Mapping[str, int]]
    """Resources by provider uuid."""


class Placement:
    """Placement's API, as far as SV2M needs it."""

    def __init__(self, keystone: Keystone) -> None:
        self._rest = RestService(keystone, "Placement", "placement", microversion=MICROVERSION)

    def inventories(self, provider: str) -> dict[str, Inventory]:
        """Inventory by resource class."""
        body = self._rest.json(
            f"read inventories of {provider}", "GET", f"/resource_providers/{provider}/inventories"
        )
        return {
            name: Inventory(int(one["total"]), int(one["reserved"]), float(one["allocation_ratio"]))
            for name, one in body["inventories"].items()
        }

    def usages(self, provider: str) -> dict[str, int]:
        """What is allocated, by resource class."""
        body = self._rest.json(f"read usages of {provider}", "GET", f"/resource_providers/{provider}/usages")
        return {name: int(amount) for name, amount in body["usages"].items()}

    def consumers(self, provider: str) -> dict[str, dict[str, int]]:
        """Resources by uuid of the consumer that holds them on one provider."""
        body = self._rest.json(
            f"read allocations of {provider}", "GET", f"/resource_providers/{provider}/allocations"
        )
        return {consumer: dict(one["resources"]) for consumer, one in body["allocations"].items()}

    def candidates(
        self, resources: Mapping[str, int], required: list[str], limit: int = 1000
    ) -> list[Candidate]:
        """Ways to satisfy a request, at most ``limit``, as Nova's scheduler would be offered them.

        A thousand is what Nova itself asks for (``[scheduler] max_placement_results``): Placement names the same ones
        first each time, and an agent lives perhaps only on hosts that come late.

        :param required: traits, ``!`` before one that must be absent.
        """
        params = {
            "resources": ",".join(f"{name}:{amount}" for name, amount in sorted(resources.items())),
            "limit": str(limit),
        }
        if required:
            params["required"] = ",".join(required)
        body = self._rest.json("find allocation candidates", "GET", "/allocation_candidates", params=params)
        return [
            Candidate({rp: dict(one["resources"]) for rp, one in request["allocations"].items()})
            for request in body["allocation_requests"]
        ]

    def allocate(
        self,
        consumer: str,
        allocations: Mapping[str, Mapping[str, int]],
        *,
        consumer_type: str,
        project_id: str,
        user_id: str,
    ) -> bool:
        """Take resources for a consumer that has none yet, all or nothing.

        :returns: False when Placement says 409: there is not enough left, or the consumer has an allocation
            already.
        """
        body: dict[str, Any] = {
            "allocations": {rp: {"resources": dict(amounts)} for rp, amounts in allocations.items()},
            "project_id": project_id,
            "user_id": user_id,
            # Null says that the consumer must not exist: of two who try at once, one is told 409.
            "consumer_generation": None,
            "consumer_type": consumer_type,
        }
        response = self._rest.request(
            f"allocate for {consumer}", "PUT", f"/allocations/{consumer}", json=body, accept=(409,)
        )
        return bool(response.status_code != 409)

    def allocations(self, consumer: str) -> dict[str, dict[str, int]]:
        """Resources that a consumer holds, by provider uuid; empty when none."""
        body = self._rest.json(f"read allocations of {consumer}", "GET", f"/allocations/{consumer}")
        return {rp: dict(one["resources"]) for rp, one in body["allocations"].items()}

    def release(self, consumer: str) -> bool:
        """Give back what a consumer holds; False when it held nothing."""
        try:
            self._rest.request(f"release allocations of {consumer}", "DELETE", f"/allocations/{consumer}")
        except errors.NotFound:
            return False
        return True
