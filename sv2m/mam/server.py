# SPDX-License-Identifier: Apache-2.0
"""MAM's RPC endpoint: it signs as this cloud, and says what a peer's signature covers.

Whether the peer's certificate may be believed at all is CMM's answer, asked before.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any

import oslo_messaging

from sv2m import errors
from sv2m.mam.keyring import Keyring
from sv2m.protocol import signature

#: R_A and R_B: 256 bits, single use.
NONCE_BYTES = 32


class Endpoint:
    """Topic ``sv2m-mam``."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    @oslo_messaging.expose
    def sign(self, context: dict[str, Any], document_b64: str) -> dict[str, Any]:
        """``{"document_b64", "digest_b64"}``: the signed message, and the digest that later ones quote."""
        document = base64.b64decode(document_b64)
        with self._keyring.signing(context) as (private_key, chain):
            signed = signature.sign(document, private_key, chain)
        return {"document_b64": _b64(signed), "digest_b64": _b64(signature.digest(signed))}

    @oslo_messaging.expose
    def verify(
        self, context: dict[str, Any], document_b64: str, kind: str, chain_b64: list[str]
    ) -> dict[str, Any]:
        """``{"document_b64", "digest_b64"}``: the part that the signature covers, and the whole's digest.

        :param kind: the message expected, e.g. ``Offer``; a signature on another kind is none.
        :param chain_b64: the sender's certificates (DER), leaf first, which CMM has validated.
        :raises sv2m.errors.InvalidSignature: it does not verify.
        """
        verified = signature.verify(base64.b64decode(document_b64), kind, _leaf(chain_b64))
        return {"document_b64": _b64(verified.message_document), "digest_b64": _b64(verified.digest)}

    @oslo_messaging.expose
    def nonce(self, context: dict[str, Any]) -> dict[str, Any]:
        """``{"nonce_b64"}``: random, from the operating system, never given out twice."""
        return {"nonce_b64": _b64(secrets.token_bytes(NONCE_BYTES))}

    @oslo_messaging.expose
    def sign_manifest(
        self, context: dict[str, Any], context_xml_b64: str, manifest_b64: str
    ) -> dict[str, Any]:
        """``{"signature_b64"}``: the trailer's ds:Signature over Context and Manifest."""
        with self._keyring.signing(context) as (private_key, chain):
            signed = signature.sign_manifest(
                base64.b64decode(context_xml_b64), base64.b64decode(manifest_b64), private_key, chain
            )
        return {"signature_b64": _b64(signed)}

    @oslo_messaging.expose
    def verify_manifest(
        self, context: dict[str, Any], signature_b64: str, chain_b64: list[str]
    ) -> dict[str, Any]:
        """``{"context_xml_b64", "manifest_b64"}``: what the trailer's signature covers.

        :raises sv2m.errors.InvalidSignature: it does not verify.
        """
        context_xml, manifest = signature.verify_manifest(base64.b64decode(signature_b64), _leaf(chain_b64))
        return {"context_xml_b64": _b64(context_xml), "manifest_b64": _b64(manifest)}


def _leaf(chain_b64: list[str]) -> bytes:
    if not chain_b64:
        raise errors.InvalidSignature("no certificate came with the signature")
    return base64.b64decode(chain_b64[0])


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
