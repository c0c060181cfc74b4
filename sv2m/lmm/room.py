# SPDX-License-Identifier: Apache-2.0
"""Room for an arriving server, held in Placement, where every scheduler of the cloud sees it.

The hold is an allocation whose consumer is the migration's id. Placement decides between two who want the
last room: the allocation is made whole or not at all. Nova claims for a server's own id, so the hold is given
back just before the placeholder server is made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from oslo_log import log

from sv2m import errors
from sv2m.lmm import flavors, ports

LOG = log.getLogger(__name__)

CONSUMER_TYPE = "SV2M_OFFER"
#: Nova's own filter: hosts whose service is disabled carry this trait.
_REQUIRED = ["!COMPUTE_STATUS_DISABLED"]


@dataclass(frozen=True)
class Held:
    """Room on one host."""

    host: str
    provider: str
    flavor_id: str


@dataclass(frozen=True)
class _Hold:
    """What Placement has for a migration, and whether the database says that it still runs."""

    migration_id: str
    host: str
    resources: dict[str, int]
    running: bool


class Room:
    """Finds room and holds it.

    :param shuffle: puts a list of hosts out of order. Placement names always the same ones first.
    """

    def __init__(
        self,
        placement: ports.Placement,
        compute: ports.Compute,
        identity: ports.Identity,
        migrations: ports.Migrations,
        *,
        shuffle: Callable[[list[Any]], None] = random.shuffle,
    ) -> None:
        self._placement = placement
        self._compute = compute
        self._identity = identity
        self._migrations = migrations
        self._shuffle = shuffle

    def hold(
        self,
        migration_id: str,
        needs: Mapping[str, Any],
        project_id: str | None,
        avoid: Collection[str] = (),
        prefer: Collection[str] = (),
    ) -> Held:
        """Hold room; repeated for the same migration, the answer is what is held already.

        :param avoid: Nova's names of hosts on which no room shall be held; what is held there is given back.
        :param prefer: hosts on which it is held if there is room.
        :param project_id: into which the server comes; decides which flavors it may use.
        :raises sv2m.errors.NoRoom: there is no flavor for it, or no host with room.
        """
        flavor = flavors.match(self._compute.flavors(project_id), needs)
        hosts = self._hosts()
        held = self._held(migration_id, hosts, flavor)
        if held is not None and held.host not in avoid:
            return held
        if held is not None:
            self.release(migration_id)
        hosts = {provider: host for provider, host in hosts.items() if host not in avoid}
        wanted = flavors.resources(flavor, needs["disks"])
        found = self._candidates(wanted, hosts)
        for provider, candidate in sorted(found, key=lambda one: hosts[one[0]] not in prefer):
            taken = self._placement.allocate(
                migration_id,
                candidate.allocations,
                consumer_type=CONSUMER_TYPE,
                project_id=project_id or self._identity.project_id(),
                user_id=self._identity.user_id(),
            )
            if taken:
                LOG.info("Migration %s: %s held on %s", migration_id, wanted, hosts[provider])
                return Held(hosts[provider], provider, flavor.id)
            # 409 has two reasons: somebody was quicker, or we were, in a call whose answer got lost.
            held = self._held(migration_id, hosts, flavor)
            if held is not None:
                return held
        raise _no_room(wanted)

    def fitting(self, needs: Mapping[str, Any], project_id: str | None) -> list[str]:
        """Nova's names of the hosts on which there is room now, in no order. Holds nothing.

        :raises sv2m.errors.NoRoom: there is none.
        """
        flavor = flavors.match(self._compute.flavors(project_id), needs)
        wanted, hosts = flavors.resources(flavor, needs["disks"]), self._hosts()
        found = [hosts[provider] for provider, _ in self._candidates(wanted, hosts)]
        if not found:
            raise _no_room(wanted)
        return found

    def fits(self, needs: Mapping[str, Any], project_id: str | None) -> tuple[str | None, str]:
        """The host on which there is room now, and why not if there is none. Holds nothing."""
        try:
            return self.fitting(needs, project_id)[0], ""
        except errors.NoRoom as error:
            return None, error.message

    def _candidates(self, wanted: Mapping[str, int], hosts: Mapping[str, str]) -> list[tuple[str, ports.Candidate]]:
        """(a host's provider, how it would satisfy what is wanted), for hosts that are usable."""
        found = [
            (provider, candidate)
            for candidate in self._placement.candidates(wanted, _REQUIRED)
            if (provider := next((rp for rp in candidate.allocations if rp in hosts), None)) is not None
        ]
        self._shuffle(found)
        return found

    def release(self, migration_id: str) -> None:
        """Give the room back; that nothing is held is fine."""
        if self._placement.release(migration_id):
            LOG.info("Migration %s: room given back", migration_id)

    def holds(self) -> dict[str, dict[str, Any]]:
        """What is held now: by migration, the host and the resources."""
        return {one.migration_id: {"host": one.host, "resources": one.resources} for one in self._found()}

    def sweep(self) -> list[str]:
        """Give back what is held for migrations that have ended; their ids.

        An engine gives back by itself. This is for what an engine left that was killed at the wrong moment.
        """
        return [one.migration_id for one in self._found() if not one.running and self._given_back(one.migration_id)]

    def _given_back(self, migration_id: str) -> bool:
        try:
            self.release(migration_id)
        except errors.SV2MError as error:
            # The others' is given back all the same; this one's at the next sweep.
            LOG.warning("Migration %s: its room could not be given back: %s (%s)", migration_id, error, error.code)
            return False
        return True

    def _found(self) -> list[_Hold]:
        consumers = [(one.host, self._consumers(one)) for one in self._compute.hypervisors()]
        # Asked after Placement: what has ended by now never holds again, what has begun meanwhile is not looked at.
        known = self._migrations.running({one for _, held in consumers for one in held})
        return [
            _Hold(consumer, host, dict(amounts), known[consumer])
            for host, held in consumers
            for consumer, amounts in held.items()
            if consumer in known
        ]

    def _consumers(self, hypervisor: ports.Hypervisor) -> Mapping[str, Mapping[str, int]]:
        try:
            return self._placement.consumers(hypervisor.id)
        except errors.NotFound:
            LOG.warning("Host %s: Placement has no resource provider %s of it", hypervisor.host, hypervisor.id)
            return {}

    def _hosts(self) -> dict[str, str]:
        return {one.id: one.host for one in self._compute.hypervisors() if one.usable}

    def _held(self, migration_id: str, hosts: Mapping[str, str], flavor: ports.Flavor) -> Held | None:
        for provider in self._placement.allocations(migration_id):
            if provider in hosts:
                return Held(hosts[provider], provider, flavor.id)
        return None


def _no_room(wanted: Mapping[str, int]) -> errors.NoRoom:
    amounts = ", ".join(f"{amount} {name}" for name, amount in wanted.items())
    return errors.NoRoom(f"no host has room for {amounts}")
