# SPDX-License-Identifier: Apache-2.0
"""RPC client of EDM.

Every call names the compute host whose agent is meant, and asks for no newer version of it than it needs: agents are
upgraded host by host. Version history: 1.0 first version; 1.1 check_removed; 1.2 power;
1.3 reader; 1.4 the job of a source names the networks that it may connect to; 1.5 may_stop.
"""

from __future__ import annotations

from typing import Any

from sv2m import rpc
from sv2m.edm.brokers import Brokers
from sv2m.errors import AgentLost, AgentSilent

#: Seconds for calls in which QEMU starts, or ends a restore.
SLOW_TIMEOUT = 300.0
#: Seconds in which an agent that lives answers what it needs nobody for.
_LIVES = 10.0

_FIRST = "1.0"
#: The version that brought a call, where it was not the first.
_SINCE = {"check_removed": "1.1", "power": "1.2", "reader": "1.3", "start_source": "1.4", "may_stop": "1.5"}


class Client:
    """Typed calls; the answers are described at :class:`sv2m.edm.server.Endpoint`.

    :raises AgentSilent: the host's agent does not answer, from every method.
    """

    VERSION = "1.5"

    def __init__(self, brokers: Brokers, timeout: float | None = None) -> None:
        self._brokers = brokers
        self._timeout = timeout

    def describe(self, context: dict[str, Any], host: str, server_id: str) -> dict[str, Any]:
        """What the hypervisor knows of a server."""
        return self._dict(context, host, "describe", server_id=server_id)

    def endpoint(self, context: dict[str, Any], host: str) -> dict[str, Any]:
        """Host and port of the data endpoint."""
        # Asked to see whether it lives, too: somebody may wait who can be sent to another host.
        return self._dict(context, host, "endpoint", patience=_LIVES)

    def reader(self, context: dict[str, Any], host: str) -> str:
        """Keystone's id of the user as which the agent reads keys."""
        return str(self._dict(context, host, "reader", patience=rpc.SILENCE)["user_id"])

    def power(self, context: dict[str, Any], host: str, server_id: str, patience: float) -> str:
        """Whether the server's vCPUs go on: running, paused or off.

        :param patience: seconds.
        """
        return str(self._dict(context, host, "power", patience=patience, server_id=server_id)["power"])

    def start_source(
        self, context: dict[str, Any], host: str, migration_id: str, job: dict[str, Any]
    ) -> None:
        """Begin to send."""
        self._call(context, host, "start_source", migration_id=migration_id, job=job)

    def may_stop(self, context: dict[str, Any], host: str, migration_id: str) -> bool:
        """Whether a ready source is ready yet."""
        return bool(self._dict(context, host, "may_stop", migration_id=migration_id)["may_stop"])

    def stop_and_finish(self, context: dict[str, Any], host: str, migration_id: str) -> None:
        """The server is paused: send the rest."""
        self._call(context, host, "stop_and_finish", migration_id=migration_id)

    def manifest(self, context: dict[str, Any], host: str, migration_id: str) -> dict[str, Any]:
        """Manifest and totals of a sealed source."""
        return self._dict(context, host, "manifest", migration_id=migration_id)

    def check_unchanged(self, context: dict[str, Any], host: str, migration_id: str) -> None:
        """The guest has not run since its state was sealed."""
        self._call(context, host, "check_unchanged", migration_id=migration_id)

    def start_destination(
        self, context: dict[str, Any], host: str, migration_id: str, job: dict[str, Any]
    ) -> dict[str, Any]:
        """Make the placeholder ready."""
        return self._dict(context, host, "start_destination", slow=True, migration_id=migration_id, job=job)

    def complete(
        self,
        context: dict[str, Any],
        host: str,
        migration_id: str,
        manifest_b64: str,
        streams: list[dict[str, int]],
    ) -> None:
        """Compare with what A signed, and finish the restore."""
        self._call(
            context,
            host,
            "complete",
            slow=True,
            migration_id=migration_id,
            manifest_b64=manifest_b64,
            streams=streams,
        )

    def check_restored(self, context: dict[str, Any], host: str, migration_id: str, server_id: str) -> None:
        """The restored guest is there."""
        self._call(context, host, "check_restored", migration_id=migration_id, server_id=server_id)

    def resume(self, context: dict[str, Any], host: str, migration_id: str, server_id: str) -> None:
        """Let the restored guest run."""
        self._call(context, host, "resume", migration_id=migration_id, server_id=server_id)

    def status(self, context: dict[str, Any], host: str, migration_id: str) -> dict[str, Any]:
        """Where the job is."""
        return self._dict(context, host, "status", migration_id=migration_id)

    def wait(
        self, context: dict[str, Any], host: str, migration_id: str, seq: int, timeout: float
    ) -> dict[str, Any]:
        """Where the job is, as soon as that is news."""
        return self._dict(context, host, "wait", migration_id=migration_id, seq=seq, timeout=timeout)

    def abort(
        self, context: dict[str, Any], host: str, migration_id: str, patience: float = SLOW_TIMEOUT
    ) -> None:
        """Undo everything on that host.

        :param patience: seconds.
        """
        self._call(context, host, "abort", patience=patience, migration_id=migration_id)

    def check_removed(self, context: dict[str, Any], host: str, server_id: str) -> None:
        """The server that Nova calls deleted is not on that host any more."""
        self._call(context, host, "check_removed", server_id=server_id)

    def forget(self, context: dict[str, Any], host: str, migration_id: str) -> None:
        """Remove the bookkeeping."""
        self._call(context, host, "forget", slow=True, migration_id=migration_id)

    def _dict(
        self,
        context: dict[str, Any],
        host: str,
        method: str,
        *,
        slow: bool = False,
        patience: float | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        return dict(self._call(context, host, method, slow=slow, patience=patience, **arguments))

    def _call(
        self,
        context: dict[str, Any],
        host: str,
        method: str,
        *,
        slow: bool = False,
        patience: float | None = None,
        **arguments: Any,
    ) -> Any:
        timeout, silence = (SLOW_TIMEOUT, rpc.SILENCE) if slow else (self._timeout, None)
        with self._brokers.reaching(host) as transport:
            client = rpc.client(transport, rpc.TOPIC_EDM, self.VERSION, timeout=timeout, silence=silence, lost=_lost)
            return client.at(host, _SINCE.get(method, _FIRST), patience).call(context, method, **arguments)


def _lost(host: str) -> AgentLost:
    return AgentSilent(f"sv2m-agent on {host} does not answer")
