# SPDX-License-Identifier: Apache-2.0
"""The agents of many migrations: each pre-copy goes on until it is told to be ready."""

from __future__ import annotations

import threading
from typing import Any

from tests.unit.engine import arriving, leaving


class SendingAgent(leaving.Agent):
    """A source's: its pre-copy runs until :attr:`ready` is set.

    :param volume: the server's.
    """

    def __init__(self, volume: str) -> None:
        super().__init__()
        self._volume = volume
        self.sending, self.ready = threading.Event(), threading.Event()

    def describe(self, context: Any, host: str, server_id: str) -> dict[str, Any]:
        found = super().describe(context, host, server_id)
        found["needs"]["disks"][0]["serial"] = self._volume
        return found

    def start_source(self, context: Any, host: str, migration_id: str, job: dict[str, Any]) -> None:
        if self.state == "unknown":
            self.state = "sending"
        self.sending.set()

    def wait(self, context: Any, host: str, migration_id: str, sequence: int, timeout: float) -> dict[str, Any]:
        if self.state == "sending" and self.ready.wait(timeout):
            self.state = "ready"
        moved = {"bytes_done": 1, "bytes_total": 2, "bytes_sent": 1}
        return {"state": self.state, "seq": sequence + 1, **moved, "error": self.error}


class Agents:
    """EDM: every call goes to the agent of the migration, or of the server, that it names."""

    def __init__(self) -> None:
        self.sending: dict[str, SendingAgent] = {}
        self.receiving: dict[str, arriving.Agent] = {}
        #: The migrations whose guest runs here now, in the order in which it began to.
        self.resumed: list[str] = []

    def endpoint(self, context: dict[str, Any], host: str) -> dict[str, Any]:
        return {"host": "192.0.2.1", "port": 4711}

    def reader(self, context: dict[str, Any], host: str) -> str:
        return f"agent of {host}"

    def resume(self, context: dict[str, Any], host: str, migration_id: str, server_id: str) -> None:
        self.of(context).resume(context, host, migration_id, server_id)
        self.resumed.append(migration_id)

    def of(self, context: dict[str, Any]) -> Any:
        migration_id = context["migration_id"]
        if migration_id in self.sending:
            return self.sending[migration_id]
        return self.receiving.setdefault(migration_id, arriving.Agent())

    def __getattr__(self, method: str) -> Any:
        def call(context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            return getattr(self.of(context), method)(context, *args, **kwargs)

        return call
