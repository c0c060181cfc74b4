# SPDX-License-Identifier: Apache-2.0
"""RPC client of CMM. Version history: 1.0 first version; 1.1 first_to_end, check_keys."""

from __future__ import annotations

from typing import Any

import oslo_messaging

from sv2m import rpc


class Client:
    """Typed calls; the answers are described at :class:`sv2m.cmm.server.Endpoint`."""

    VERSION = "1.1"

    def __init__(self, transport: oslo_messaging.Transport, timeout: float | None = None) -> None:
        self._client = rpc.client(transport, rpc.TOPIC_CMM, self.VERSION, timeout=timeout, silence=rpc.SILENCE)

    def certificate(self, context: dict[str, Any]) -> dict[str, Any]:
        """This cloud's certificate."""
        return self._call(context, "certificate")

    def identity(self, context: dict[str, Any]) -> dict[str, Any]:
        """This cloud's certificate chain and the reference of its private key."""
        return self._call(context, "identity")

    def validate(
        self, context: dict[str, Any], chain_b64: list[str], name: str, ca_pem: str
    ) -> dict[str, Any]:
        """Whether a peer's certificate is good.

        :raises sv2m.errors.InvalidCertificate: it is not.
        """
        return self._call(context, "validate", chain_b64=chain_b64, name=name, ca_pem=ca_pem)

    def first_to_end(self, context: dict[str, Any], chain_b64: list[str], ca_pem: str) -> dict[str, Any]:
        """The certificate that ends first on the way from a chain to the agreement's CA."""
        return self._call(context, "first_to_end", chain_b64=chain_b64, ca_pem=ca_pem)

    def check_keys(self, context: dict[str, Any], chain_b64: list[str], ca_pem: str) -> None:
        """After the commit: that no key of the path is known to be a thief's.

        :raises sv2m.errors.PeerKeyCompromised: one is.
        """
        self._call(context, "check_keys", chain_b64=chain_b64, ca_pem=ca_pem)

    def revocation_lists(self, context: dict[str, Any]) -> dict[str, Any]:
        """The revocation lists by which peers were last checked."""
        return self._call(context, "revocation_lists")

    def _call(self, context: dict[str, Any], method: str, **kwargs: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.call(context, method, **kwargs)
        return answer
