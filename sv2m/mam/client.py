# SPDX-License-Identifier: Apache-2.0
"""RPC client of MAM. Version history: 1.0 first version."""

from __future__ import annotations

from typing import Any

import oslo_messaging

from sv2m import rpc


class Client:
    """Typed calls; the answers are described at :class:`sv2m.mam.server.Endpoint`."""

    VERSION = "1.0"

    def __init__(self, transport: oslo_messaging.Transport, timeout: float | None = None) -> None:
        self._client = rpc.client(transport, rpc.TOPIC_MAM, self.VERSION, timeout=timeout, silence=rpc.SILENCE)

    def sign(self, context: dict[str, Any], document_b64: str) -> dict[str, Any]:
        """Sign a message as this cloud."""
        return self._call(context, "sign", document_b64=document_b64)

    def verify(
        self, context: dict[str, Any], document_b64: str, kind: str, chain_b64: list[str]
    ) -> dict[str, Any]:
        """Verify a peer's message.

        :raises sv2m.errors.InvalidSignature: it does not verify.
        """
        return self._call(context, "verify", document_b64=document_b64, kind=kind, chain_b64=chain_b64)

    def nonce(self, context: dict[str, Any]) -> dict[str, Any]:
        """A fresh nonce."""
        return self._call(context, "nonce")

    def sign_manifest(
        self, context: dict[str, Any], context_xml_b64: str, manifest_b64: str
    ) -> dict[str, Any]:
        """Sign a trailer."""
        return self._call(
            context, "sign_manifest", context_xml_b64=context_xml_b64, manifest_b64=manifest_b64
        )

    def verify_manifest(
        self, context: dict[str, Any], signature_b64: str, chain_b64: list[str]
    ) -> dict[str, Any]:
        """Verify a trailer.

        :raises sv2m.errors.InvalidSignature: it does not verify.
        """
        return self._call(context, "verify_manifest", signature_b64=signature_b64, chain_b64=chain_b64)

    def _call(self, context: dict[str, Any], method: str, **kwargs: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.call(context, method, **kwargs)
        return answer
