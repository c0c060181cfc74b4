# SPDX-License-Identifier: Apache-2.0
"""What EDM needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sv2m.edm.spec import DestinationSpec, SourceSpec

#: States of a source, in their order, and of a destination. Both may become FAILED at any moment.
CONNECTING, PRECOPY, READY, FINISHING, SEALED = "connecting", "precopy", "ready", "finishing", "sealed"
WAITING, RECEIVING, RECEIVED, RESTORED, RUNNING = "waiting", "receiving", "received", "restored", "running"
FAILED = "failed"
#: What is said of a migration that the agent has no job for.
UNKNOWN = "unknown"


class KeyReader(Protocol):
    """The key manager, as the agent sees it."""

    def read(self, ref: str) -> bytearray:
        """The key's bytes; the caller wipes them. :raises KeyManagerError: it cannot be read."""
        ...

    def user_id(self) -> str:
        """Keystone's id of the user that reads. :raises SV2MError: it cannot log in."""
        ...


@dataclass(frozen=True)
class Described:
    """A server on this host: the hypervisor's part of the descriptor, and the streams that it would have."""

    needs: dict[str, Any]
    power: str
    streams: tuple[dict[str, Any], ...] = field(default=())
    #: Bytes of memory that would be sent while it stands still, about; and bytes per second that this host sends of one
    #: migration, 0 for any number.
    resident_bytes: int = 0
    rate_limit: int = 0


@dataclass(frozen=True)
class Status:
    """Where a job is. ``sequence`` grows with every change.

    ``bytes_done`` of ``bytes_total`` are bytes of disks and memory, holes and zeros too, and blocks that the guest has
    written again once more. ``bytes_sent`` are bytes of plaintext in the segments that travelled: the same at both
    clouds when all have arrived, which is what the Transfer says.
    """

    state: str
    bytes_total: int = 0
    bytes_done: int = 0
    bytes_sent: int = 0
    error: dict[str, str] | None = None
    sequence: int = 0


@dataclass(frozen=True)
class Total:
    """What became of a stream: how many segments, and bytes of plaintext in them."""

    id: int
    segments: int
    length: int


class Transfers(Protocol):
    """The agent's jobs, by migration id.

    Every call may be repeated. Errors are those of :mod:`sv2m.errors`.
    """

    def describe(self, server_id: str) -> Described:
        """The hypervisor's view of a server. :raises ServerNotMovable: naming what stands in the way."""
        ...

    def endpoint(self) -> tuple[str, int]:
        """Host and port of the data endpoint."""
        ...

    def reader(self) -> str:
        """Keystone's id of the user as which this agent reads keys."""
        ...

    def start_source(self, migration_id: str, spec: SourceSpec) -> None:
        """Begin to send; returns at once."""
        ...

    def may_stop(self, migration_id: str) -> bool:
        """Whether a ready source is ready yet; if not, it has begun another round."""
        ...

    def stop_and_finish(self, migration_id: str) -> None:
        """The guest is paused: send the rest; returns at once."""
        ...

    def manifest(self, migration_id: str) -> tuple[bytes, Sequence[Total]]:
        """Manifest and totals of a sealed source."""
        ...

    def check_unchanged(self, migration_id: str) -> None:
        """:raises Conflict: the guest has run since it was sealed."""
        ...

    def start_destination(self, migration_id: str, spec: DestinationSpec) -> tuple[str, int]:
        """Open the placeholder; the endpoint for A."""
        ...

    def complete(self, migration_id: str, manifest: bytes, totals: Sequence[Total]) -> None:
        """Compare with what A signed, and finish the restore."""
        ...

    def check_restored(self, migration_id: str, server_id: str) -> None:
        """:raises HypervisorError: the restored guest is gone for good."""
        ...

    def resume(self, migration_id: str, server_id: str) -> None:
        """Let the restored guest run."""
        ...

    def status(self, migration_id: str) -> Status:
        """Where the job is."""
        ...

    def wait(self, migration_id: str, sequence: int, timeout: float) -> Status:
        """Where the job is, as soon as its sequence differs."""
        ...

    def abort(self, migration_id: str) -> None:
        """Undo everything here."""
        ...

    def power(self, server_id: str) -> str:
        """running, paused or off. :raises NotFound: no such server here."""
        ...

    def check_removed(self, server_id: str) -> None:
        """:raises Conflict: there is still a domain of a server that Nova calls deleted."""
        ...

    def forget(self, migration_id: str) -> None:
        """Remove the bookkeeping."""
        ...
