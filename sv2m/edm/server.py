# SPDX-License-Identifier: Apache-2.0
"""RPC endpoint of EDM, on topic ``sv2m-edm`` with the compute host as server.

All bytes travel as base64; keys travel as references only.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import oslo_messaging

from sv2m.edm import spec
from sv2m.edm.ports import Status, Total, Transfers
from sv2m.errors import LocalError
from sv2m.version import version

#: Longest time, in seconds, that one call waits for news: well below the RPC timeout.
MAX_WAIT = 20.0


class Endpoint:
    """Answers for one compute host.

    :param transfers: the agent's jobs.
    """

    target = oslo_messaging.Target(version="1.5")

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    @oslo_messaging.expose
    def describe(self, context: dict[str, Any], server_id: str) -> dict[str, Any]:
        """What the hypervisor knows of a server.

        :returns: ``needs`` (the descriptor's part that libvirt knows; each disk with its ``serial``, the
            volume id), ``power``, ``streams`` (kind, index, size in bytes), ``resident_bytes`` (of memory, about) and
            ``rate_limit`` (bytes per second that this host sends of one migration; 0 for any number).
        :raises ServerNotMovable: naming everything that stands in the way.
        """
        found = self._transfers.describe(server_id)
        return {
            "needs": found.needs,
            "power": found.power,
            "streams": list(found.streams),
            "resident_bytes": found.resident_bytes,
            "rate_limit": found.rate_limit,
        }

    @oslo_messaging.expose
    def endpoint(self, context: dict[str, Any]) -> dict[str, Any]:
        """Host and port of this host's data endpoint, and the agent's version."""
        host, port = self._transfers.endpoint()
        return {"host": host, "port": port, "version": version()}

    @oslo_messaging.expose
    def reader(self, context: dict[str, Any]) -> dict[str, Any]:
        """``{"user_id"}``: Keystone's id of the user as which this agent reads keys."""
        return {"user_id": self._transfers.reader()}

    @oslo_messaging.expose
    def start_source(self, context: dict[str, Any], migration_id: str, job: dict[str, Any]) -> None:
        """Connect, and copy the disks while the guest runs. Returns at once; see ``status``."""
        self._transfers.start_source(migration_id, spec.source(job))

    @oslo_messaging.expose
    def may_stop(self, context: dict[str, Any], migration_id: str) -> dict[str, Any]:
        """``may_stop``: whether a ready source is ready yet; if not, it has begun another round (see ``status``).

        :raises SV2MError: it has failed, and this is why.
        """
        return {"may_stop": self._transfers.may_stop(migration_id)}

    @oslo_messaging.expose
    def stop_and_finish(self, context: dict[str, Any], migration_id: str) -> None:
        """The server is paused and locked: send what is left. Returns at once; see ``status``."""
        self._transfers.stop_and_finish(migration_id)

    @oslo_messaging.expose
    def power(self, context: dict[str, Any], server_id: str) -> dict[str, Any]:
        """``power``: running, paused or off, as the hypervisor has it now, whatever Nova takes the server for.

        :raises NotFound: no such server here.
        """
        return {"power": self._transfers.power(server_id)}

    @oslo_messaging.expose
    def manifest(self, context: dict[str, Any], migration_id: str) -> dict[str, Any]:
        """At a sealed source: the ``ds:Manifest`` over every plaintext segment, and the streams' totals."""
        manifest, totals = self._transfers.manifest(migration_id)
        return {
            "manifest_b64": base64.b64encode(manifest).decode("ascii"),
            "streams": [{"id": t.id, "segments": t.segments, "length": t.length} for t in totals],
        }

    @oslo_messaging.expose
    def check_unchanged(self, context: dict[str, Any], migration_id: str) -> None:
        """:raises Conflict: the guest has run, or a disk was written, since its state was sealed."""
        self._transfers.check_unchanged(migration_id)

    @oslo_messaging.expose
    def start_destination(
        self, context: dict[str, Any], migration_id: str, job: dict[str, Any]
    ) -> dict[str, Any]:
        """Take the suspended placeholder, open its disks, let A's data connections in.

        :returns: ``endpoint``: host and port for them.
        :raises Conflict: the placeholder differs from the descriptor; the message says in what.
        """
        host, port = self._transfers.start_destination(migration_id, spec.destination(job))
        return {"endpoint": {"host": host, "port": port}}

    @oslo_messaging.expose
    def complete(
        self, context: dict[str, Any], migration_id: str, manifest_b64: str, streams: list[dict[str, int]]
    ) -> None:
        """Everything that A signed is here, verified; the guest is restored and paused when this returns.

        :raises IntegrityError: what came is not what A signed.
        """
        try:
            manifest = base64.b64decode(manifest_b64, validate=True)
            totals = [Total(entry["id"], entry["segments"], entry["length"]) for entry in streams]
        except (binascii.Error, ValueError, KeyError, TypeError) as error:
            raise LocalError(f"the manifest or the totals cannot be read: {error}") from error
        self._transfers.complete(migration_id, manifest, totals)

    @oslo_messaging.expose
    def check_restored(self, context: dict[str, Any], migration_id: str, server_id: str) -> None:
        """:raises HypervisorError: the restored guest is gone for good; no other failure has this class."""
        self._transfers.check_restored(migration_id, server_id)

    @oslo_messaging.expose
    def resume(self, context: dict[str, Any], migration_id: str, server_id: str) -> None:
        """Let the restored guest run; nothing to do if it does."""
        self._transfers.resume(migration_id, server_id)

    @oslo_messaging.expose
    def status(self, context: dict[str, Any], migration_id: str) -> dict[str, Any]:
        """State, bytes_total, bytes_done, bytes_sent, error (code, message, remedy, or None) and seq."""
        return _plain(self._transfers.status(migration_id))

    @oslo_messaging.expose
    def wait(self, context: dict[str, Any], migration_id: str, seq: int, timeout: float) -> dict[str, Any]:
        """As ``status``, as soon as seq is another, or after ``timeout`` seconds."""
        return _plain(self._transfers.wait(migration_id, seq, min(timeout, MAX_WAIT)))

    @oslo_messaging.expose
    def abort(self, context: dict[str, Any], migration_id: str) -> None:
        """Undo everything of this migration on this host.

        The server at A stays as it is, for Nova to unpause.

        :raises Conflict: the restored guest runs already.
        """
        self._transfers.abort(migration_id)

    @oslo_messaging.expose
    def check_removed(self, context: dict[str, Any], server_id: str) -> None:
        """:raises Conflict: there is still a domain of a server that Nova calls deleted."""
        self._transfers.check_removed(server_id)

    @oslo_messaging.expose
    def forget(self, context: dict[str, Any], migration_id: str) -> None:
        """The migration is over here: remove what is left of its bookkeeping."""
        self._transfers.forget(migration_id)


def _plain(status: Status) -> dict[str, Any]:
    return {
        "state": status.state,
        "bytes_total": status.bytes_total,
        "bytes_done": status.bytes_done,
        "bytes_sent": status.bytes_sent,
        "error": status.error,
        "seq": status.sequence,
    }
