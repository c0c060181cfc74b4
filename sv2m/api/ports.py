# SPDX-License-Identifier: Apache-2.0
"""What the API needs from the cloud around it.

``token`` is always the caller's own: nothing is seen or changed here with rights that the caller does not
have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sv2m.api.later import Later


@dataclass(frozen=True)
class Server:
    """What Nova tells the caller about a server."""

    id: str
    name: str
    project_id: str
    #: Nova's status, for instance ACTIVE.
    status: str
    #: What Nova is doing with it now; None: nothing.
    task_state: str | None
    volume_ids: tuple[str, ...]
    #: Whether somebody has locked it against changes.
    locked: bool = False


@dataclass(frozen=True)
class VolumeSecret:
    """The key manager's secret that opens an encrypted volume."""

    volume_id: str
    secret_ref: str


class ServerReader(Protocol):
    """Nova, seen with the caller's eyes."""

    def get(self, token: str, server_id: str) -> Server:
        """The server of this id.

        :raises sv2m.errors.NotFound: there is none that the caller may see.
        """
        ...


class SecretGrants(Protocol):
    """The caller lets SV2M's own user read the keys of his volumes for a moment, and takes it back."""

    def find(self, token: str, volume_ids: Sequence[str]) -> list[VolumeSecret]:
        """The secrets of those of these volumes that are encrypted.

        :raises sv2m.errors.PolicyError: the caller may not see them.
        """
        ...

    def granted(self, token: str, secret_ref: str) -> bool:
        """Whether SV2M's user is among those who may read the secret.

        :raises sv2m.errors.PolicyError: the caller may not know.
        """
        ...

    def grant(self, token: str, secret_ref: str) -> None:
        """Add SV2M's user to those who may read the secret; everybody else stays.

        :raises sv2m.errors.PolicyError: the caller does not own the secret.
        """
        ...

    def revoke(self, token: str, secret_ref: str) -> None:
        """Take SV2M's user off again. Doing it twice does no harm.

        :raises sv2m.errors.KeyManagerError: it may still be there; the remedy is the command that takes it off.
        """
        ...


class KeyCopier(Protocol):
    """The key manager, with SV2M's own rights."""

    def copy_eiks(self, context: dict[str, Any], migration_id: str, secrets: dict[str, str]) -> dict[str, Any]:
        """Copy the keys of volumes, all or none: ``{"copies": [{"volume_id", "ref", "copy_ref"}]}``.

        :param secrets: volume id -> the key that SV2M's user may read now.
        """
        ...


class Projects(Protocol):
    """Keystone, with SV2M's own rights."""

    def ensure_member(self, project_id: str) -> None:
        """Give SV2M's user its roles on the project into which a peer's servers come.

        :raises sv2m.errors.NotFound: there is no such project.
        """
        ...


class Conductor(Protocol):
    """The engine's conductor. Both calls only wake it: what it does stands in the database."""

    def start_migration(self, context: dict[str, Any], migration_id: str) -> None:
        """Begin a migration that was requested."""
        ...

    def abort_migration(self, context: dict[str, Any], migration_id: str) -> None:
        """Look at a migration of which somebody asked that it be aborted."""
        ...


class LoadReader(Protocol):
    """The load monitor."""

    def load(self, context: dict[str, Any]) -> dict[str, Any]:
        """Every compute host with its load, and what is held for offers."""
        ...


class Rules(Protocol):
    """The access rules."""

    def allows(self, rule: str, credentials: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
        """Whether ``rule`` says yes."""
        ...

    def needed(self, rule: str) -> str:
        """Who may do what ``rule`` guards, in words."""
        ...


@dataclass(frozen=True)
class Services:
    """Everything that a handler may use."""

    servers: ServerReader
    grants: SecretGrants
    keys: KeyCopier
    projects: Projects
    conductor: Conductor
    load: LoadReader
    rules: Rules
    #: Name of this cloud.
    cloud_name: str
    #: Who holds a migration while this process prepares it.
    owner: str
    #: What goes on after the answer.
    later: Later = field(default_factory=Later)
    #: This cloud's own limits, for what an agreement does not limit.
    own_limits: Mapping[str, int] = field(default_factory=dict)
    #: How many items a page has when the caller does not say.
    default_limit: int = 100
    #: How many it may have at most.
    max_limit: int = 1000
