# SPDX-License-Identifier: Apache-2.0
"""RPC client of the conductor.

Version history: 1.0 first version; 1.1 receive may be told not to wait; 1.2 report.
"""

from __future__ import annotations

from typing import Any

import oslo_messaging

from sv2m import rpc


class Client:
    """Typed calls to whichever engine takes them."""

    VERSION = "1.2"

    def __init__(
        self, transport: oslo_messaging.Transport, timeout: float | None = None, broker: rpc.Broker | None = None
    ) -> None:
        self._client = rpc.client(transport, rpc.TOPIC_CONDUCTOR, self.VERSION, timeout=timeout, broker=broker)

    def receive(self, context: dict[str, Any], document_b64: str, wait: bool) -> dict[str, Any]:
        """Hand over a peer's signed document; see :meth:`sv2m.engine.conductor.Conductor.receive`."""
        answer: dict[str, Any] = self._client.call(context, "receive", document_b64=document_b64, wait=wait)
        return answer

    def start_migration(self, context: dict[str, Any], migration_id: str) -> None:
        """Set a migration in phase ``requested`` going. Returns at once."""
        self._client.cast(context, "start_migration", migration_id=migration_id)

    def abort_migration(self, context: dict[str, Any], migration_id: str) -> None:
        """Wake the migration's worker so that it sees the abort request in its row. Returns at once."""
        self._client.cast(context, "abort_migration", migration_id=migration_id)

    def report(self, context: dict[str, Any], binary: str, host: str, version: str) -> None:
        """Note that a program runs. Returns at once."""
        self._client.cast(context, "report", binary=binary, host=host, version=version)
