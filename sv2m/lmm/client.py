# SPDX-License-Identifier: Apache-2.0
"""RPC client of LMM. Version history: 1.0 first version; 1.1 hold takes hosts to avoid; 1.2 fitting, hold takes
hosts to prefer.
"""

from __future__ import annotations

from typing import Any

import oslo_messaging

from sv2m import rpc


class Client:
    """Typed calls; the answers are described at :class:`sv2m.lmm.server.Endpoint`."""

    VERSION = "1.2"

    def __init__(
        self, transport: oslo_messaging.Transport, timeout: float | None = None, broker: rpc.Broker | None = None
    ) -> None:
        self._client = rpc.client(
            transport, rpc.TOPIC_LMM, self.VERSION, timeout=timeout, silence=rpc.SILENCE, broker=broker
        )

    def hold(
        self,
        context: dict[str, Any],
        migration_id: str,
        needs: dict[str, Any],
        project_id: str | None = None,
        *,
        avoid: list[str] | None = None,
        prefer: list[str] | None = None,
    ) -> dict[str, Any]:
        """Hold room for a migration, on none of the hosts to avoid, if possible on one of those to prefer.

        :raises sv2m.errors.NoRoom: there is none.
        """
        where = {"avoid": avoid or [], "prefer": prefer or []}
        return self._call(context, "hold", migration_id=migration_id, needs=needs, project_id=project_id, **where)

    def fitting(
        self, context: dict[str, Any], needs: dict[str, Any], project_id: str | None = None
    ) -> list[str]:
        """The hosts on which there is room now, in no order.

        :raises sv2m.errors.NoRoom: there is none.
        """
        return list(self._call(context, "fitting", needs=needs, project_id=project_id)["hosts"])

    def release(self, context: dict[str, Any], migration_id: str) -> None:
        """Give the room back."""
        self._client.call(context, "release", migration_id=migration_id)

    def fits(
        self, context: dict[str, Any], needs: dict[str, Any], project_id: str | None = None
    ) -> dict[str, Any]:
        """Whether there is room now."""
        return self._call(context, "fits", needs=needs, project_id=project_id)

    def load(self, context: dict[str, Any]) -> dict[str, Any]:
        """How full the cloud is."""
        return self._call(context, "load")

    def sweep(self, context: dict[str, Any]) -> None:
        """Give back the room of migrations that have ended, some time soon: nobody waits for it."""
        self._client.cast(context, "sweep")

    def _call(self, context: dict[str, Any], method: str, **kwargs: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.call(context, method, **kwargs)
        return answer
