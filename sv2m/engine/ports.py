# SPDX-License-Identifier: Apache-2.0
"""What the engine needs of this cloud's Nova, Cinder and Neutron. :mod:`sv2m.clients` implements it.

All ids are OpenStack's; sizes are GiB for volumes. Every method raises :class:`sv2m.errors.HostError` (or a subclass)
when the service fails, and ``NotFound`` where it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Protocol


class Servers(Protocol):
    """Nova, with the rights of SV2M's service user."""

    def get(self, server_id: str) -> dict[str, Any]:
        """The server as the compute API shows it to an administrator; raises NotFound."""
        ...

    def pause(self, server_id: str) -> None:
        """Stop its vCPUs; its memory stays in the host."""
        ...

    def unpause(self, server_id: str) -> None:
        """Let a paused server go on."""
        ...

    def suspend(self, server_id: str) -> None:
        """Save its memory to the host's disk, and stop it."""
        ...

    def lock(self, server_id: str, reason: str) -> None:
        """Keep its owner from changing it."""
        ...

    def unlock(self, server_id: str) -> None:
        """Give it back to its owner."""
        ...

    def reset_active(self, server_id: str) -> None:
        """Tell Nova that it runs; Nova checks nothing."""
        ...

    def create_placeholder(
        self,
        *,
        project_id: str,
        name: str,
        flavor_id: str,
        host: str,
        volume_ids: Sequence[str],
        image_id: str | None,
        port_ids: Sequence[str],
        migration_id: str,
    ) -> str:
        """Ask for the server that claims the room at B; return its id, do not wait."""
        ...

    def check_quota(self, project_id: str, vcpus: int, memory_mb: int) -> None:
        """Whether a project may have one server more, of this size; raises NoRoom, naming the quota."""
        ...

    def wait_for(
        self,
        server_id: str,
        statuses: Collection[str],
        timeout: float,
        *,
        ours: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Wait until the server has one of these statuses and no task; HostError carries Nova's fault.

        ``ours``: under our lock; if what was asked for to that end is lost, it is asked for again. ``meanwhile`` is
        called at each look; what it raises ends the wait.
        """
        ...

    def settle(self, server_id: str, timeout: float, ours: Collection[str] = ()) -> dict[str, Any]:
        """Wait until Nova does nothing with the server, whatever became of it; raises NotFound.

        ``ours`` are Nova's tasks that we have asked for under our lock: what is lost of them is asked for again.
        """
        ...

    def paused_by_us(self, server_id: str) -> bool:
        """Whether SV2M's user, and nobody after it, asked for the server to be paused."""
        ...

    def ended_by_itself(self, server_id: str) -> datetime | None:
        """When Nova found that it had ended; None where somebody asked for its last stop. Raises NotFound."""
        ...

    def check_compute(self, host: str) -> None:
        """:raises ServiceUnavailable: its nova-compute is away; Nova would forget a server instead of deleting it."""
        ...

    def find_placeholders(self, migration_id: str, project_id: str) -> list[str]:
        """Ids of servers that :meth:`create_placeholder` made in this project for this migration, not yet arrived."""
        ...

    def mark_placeholder(self, server_id: str, migration_id: str) -> None:
        """A locked server is this migration's placeholder, whatever its project has written on it."""
        ...

    def mark_arrived(self, server_id: str, migration_id: str) -> None:
        """From now on it is an ordinary server, and no placeholder."""
        ...

    def has_arrived(self, server_id: str, migration_id: str) -> bool:
        """Whether :meth:`mark_arrived` marked this very server."""
        ...

    def is_placeholder(self, server_id: str, migration_id: str) -> bool:
        """Whether this very server is this migration's placeholder, and has not arrived."""
        ...

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        """Ids of servers that :meth:`mark_arrived` marked for this migration."""
        ...

    def delete(self, server_id: str, timeout: float) -> None:
        """Delete and wait until it is gone; no error when it already is."""
        ...
