# SPDX-License-Identifier: Apache-2.0
"""RPC client of AZM. Version history: 1.0 first version."""

from __future__ import annotations

from typing import Any

import oslo_messaging

from sv2m import rpc


class Client:
    """Typed calls; the answers are described at :class:`sv2m.azm.server.Endpoint`."""

    VERSION = "1.0"

    def __init__(self, transport: oslo_messaging.Transport, timeout: float | None = None) -> None:
        self._client = rpc.client(transport, rpc.TOPIC_AZM, self.VERSION, timeout=timeout, silence=rpc.SILENCE)

    def may_start(
        self, context: dict[str, Any], credentials: dict[str, Any], server: dict[str, Any], peer: str
    ) -> dict[str, Any]:
        """Whether a caller may move a server to a peer.

        :raises sv2m.errors.PolicyError: naming the rule that says no.
        """
        return self._call(context, "may_start", credentials=credentials, server=server, peer=peer)

    def may_accept(self, context: dict[str, Any], peer: str, needs: dict[str, Any]) -> dict[str, Any]:
        """Whether a server may come from a peer.

        :raises sv2m.errors.PolicyError: naming the rule that says no.
        """
        return self._call(context, "may_accept", peer=peer, needs=needs)

    def _call(self, context: dict[str, Any], method: str, **kwargs: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.call(context, method, **kwargs)
        return answer
