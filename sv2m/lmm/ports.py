# SPDX-License-Identifier: Apache-2.0
"""What LMM needs from outside. :mod:`sv2m.clients` implements it; errors are those of :mod:`sv2m.errors`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol


class Flavor(Protocol):
    """A flavor of Nova."""

    @property
    def id(self) -> str:
        """Nova's id."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def vcpus(self) -> int:
        """Number of vCPUs."""
        ...

    @property
    def memory_mb(self) -> int:
        """Memory, MiB."""
        ...

    @property
    def root_gb(self) -> int:
        """Root disk, GiB."""
        ...

    @property
    def ephemeral_gb(self) -> int:
        """Second disk, GiB."""
        ...

    @property
    def swap_mb(self) -> int:
        """Swap disk, MiB."""
        ...

    @property
    def extra_specs(self) -> Mapping[str, str]:
        """Extra specs."""
        ...


class Hypervisor(Protocol):
    """A compute host as Nova's resource tracker reports it."""

    @property
    def id(self) -> str:
        """Its uuid, in Nova and in Placement."""
        ...

    @property
    def host(self) -> str:
        """Nova's name of the host."""
        ...

    @property
    def usable(self) -> bool:
        """Up and enabled."""
        ...

    @property
    def servers(self) -> int:
        """How many servers run on it."""
        ...


class Compute(Protocol):
    """Nova."""

    def flavors(self, project_id: str | None = None) -> Sequence[Flavor]:
        """The flavors that a project may use."""
        ...

    def hypervisors(self) -> Sequence[Hypervisor]:
        """Every compute host."""
        ...


class Inventory(Protocol):
    """What a provider has of one resource class."""

    @property
    def capacity(self) -> int:
        """What may be allocated in all."""
        ...


class Candidate(Protocol):
    """One way to satisfy a request."""

    @property
    def allocations(self) -> Mapping[str, Mapping[str, int]]:
        """Resources by provider."""
        ...


class Placement(Protocol):
    """Placement."""

    def inventories(self, provider: str) -> Mapping[str, Inventory]:
        """Inventory by resource class."""
        ...

    def usages(self, provider: str) -> Mapping[str, int]:
        """What is taken, by resource class."""
        ...

    def consumers(self, provider: str) -> Mapping[str, Mapping[str, int]]:
        """Resources by consumer."""
        ...

    def candidates(self, resources: Mapping[str, int], required: list[str]) -> Sequence[Candidate]:
        """Ways to satisfy a request."""
        ...

    def allocate(
        self,
        consumer: str,
        allocations: Mapping[str, Mapping[str, int]],
        *,
        consumer_type: str,
        project_id: str,
        user_id: str,
    ) -> bool:
        """Take resources, all or nothing; False when there are too few, or the consumer has some already."""
        ...

    def allocations(self, consumer: str) -> Mapping[str, Mapping[str, int]]:
        """What a consumer holds, by provider."""
        ...

    def release(self, consumer: str) -> bool:
        """Give back all that a consumer holds."""
        ...


class Identity(Protocol):
    """Who SV2M is in this cloud's Keystone."""

    def user_id(self) -> str:
        """Id of SV2M's user."""
        ...

    def project_id(self) -> str:
        """Id of SV2M's project."""
        ...


class Migrations(Protocol):
    """What the database says of migrations that arrive here."""

    def running(self, ids: Collection[str]) -> Mapping[str, bool]:
        """Of these ids, those of migrations that arrive or arrived here: whether each still runs."""
        ...


class Reading(Protocol):
    """One reading of the load for all engines, by one of them."""

    def is_ours(self) -> bool:
        """Whether it is this engine that reads."""
        ...

    def keep(self, reading: str) -> None:
        """Leave for all what was read."""
        ...

    def kept(self) -> str:
        """What was read last, by whomever; empty before anything was."""
        ...


class Notifier(Protocol):
    """oslo.messaging's notifier."""

    def warn(self, ctxt: dict[str, Any], event_type: str, payload: dict[str, Any]) -> None:
        """Emit at priority warn."""
        ...

    def info(self, ctxt: dict[str, Any], event_type: str, payload: dict[str, Any]) -> None:
        """Emit at priority info."""
        ...
