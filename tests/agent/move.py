# SPDX-License-Identifier: Apache-2.0
"""One migration between two agents, step by step, as the engines would order it."""

from __future__ import annotations

import base64
import os
import uuid
from typing import Any, Protocol

from sv2m.protocol.segments import segment_size
from tests.agent.hosts import Server, until


class Asked(Protocol):
    def call(self, method: str, **arguments: Any) -> Any: ...


class Move:
    """``keys`` is what both clouds' key managers hold."""

    def __init__(self, a: Asked, b: Asked, keys: dict[str, bytes], server: Server, eik: bytes) -> None:
        self.id = str(uuid.uuid4())
        self.a, self.b, self.server = a, b, server
        self.vmk_ref, self.eik_ref = f"vmk-{self.id}", f"eik-{self.id}"
        keys[self.vmk_ref], keys[self.eik_ref] = os.urandom(32), eik
        self.sid = base64.b64encode(os.urandom(48)).decode()
        described = a.call("describe", server_id=server.id)
        self.needs = described["needs"]
        for disk in self.needs["disks"]:
            # Cinder's part of the descriptor.
            disk.update({"cipher": "aes-xts-plain64", "key_size": 256} if disk["encrypted"] else {})
        total = sum(stream["size"] for stream in described["streams"])
        self.streams = [
            {**stream, "id": number, "segment_size": segment_size(total)}
            for number, stream in enumerate(described["streams"], start=1)
        ]
        self.endpoint: dict[str, Any] = {}
        self.placeholder: Server | None = None

    def land(self, placeholder: Server, **changes: Any) -> None:
        """B: take the placeholder."""
        self.placeholder = placeholder
        job = {**self.destination_job(placeholder), **changes}
        self.endpoint = self.b.call("start_destination", migration_id=self.id, job=job)["endpoint"]

    def destination_job(self, placeholder: Server) -> dict[str, Any]:
        disks = [
            {"index": disk["index"], "volume_id": "", "eik_ref": self.eik_ref if disk["encrypted"] else None}
            for disk in self.needs["disks"]
        ]
        return {
            "server_id": placeholder.id,
            "sid_b64": self.sid,
            "vmk_ref": self.vmk_ref,
            "needs": self.needs,
            "streams": self.streams,
            "disks": disks,
            "lifetime": 600,
        }

    def send(self, **changes: Any) -> None:
        """A: begin to send."""
        job = {
            "server_id": self.server.id,
            "sid_b64": self.sid,
            "vmk_ref": self.vmk_ref,
            "endpoint": self.endpoint,
            "streams": self.streams,
            "rate_limit": 0,
            "data_networks": ["127.0.0.0/8"],
            **changes,
        }
        self.a.call("start_source", migration_id=self.id, job=job)

    def until(self, agent: Asked, *states: str, timeout: float = 120.0) -> dict[str, Any]:
        """Wait, by the long poll, for one of the states."""
        sequence = -1

        def look() -> dict[str, Any] | None:
            nonlocal sequence
            status = agent.call("wait", migration_id=self.id, seq=sequence, timeout=5)
            sequence = status["seq"]
            if status["state"] == "failed" and "failed" not in states:
                raise AssertionError(status["error"])
            return status if status["state"] in states else None

        return until(f"state {states}", look, timeout)

    def stop_and_seal(self) -> None:
        """A: pause, as Nova would, and send the rest."""
        self.until(self.a, "ready")
        self.server.domain.suspend()
        self.a.call("stop_and_finish", migration_id=self.id)
        self.until(self.a, "sealed")

    def complete(self) -> None:
        """What A signed reaches B."""
        sealed = self.a.call("manifest", migration_id=self.id)
        self.b.call("complete", migration_id=self.id, **sealed)

    def commit(self) -> None:
        """The VM is B's."""
        self.a.call("check_unchanged", migration_id=self.id)
        assert self.placeholder is not None
        self.b.call("check_restored", migration_id=self.id, server_id=self.placeholder.id)
        self.b.call("resume", migration_id=self.id, server_id=self.placeholder.id)

    def error(self, agent: Asked) -> dict[str, str]:
        """Why a job failed."""
        return dict(self.until(agent, "failed")["error"])
