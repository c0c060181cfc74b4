# SPDX-License-Identifier: Apache-2.0
"""CMM's RPC endpoint."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import oslo_messaging

from sv2m import errors
from sv2m.cmm import identity
from sv2m.cmm.revocation import RevocationLists
from sv2m.evidence import path


class Endpoint:
    """Topic ``sv2m-cmm``."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(
        self, revocation: RevocationLists, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._revocation = revocation
        self._now = now

    @oslo_messaging.expose
    def certificate(self, context: dict[str, Any]) -> dict[str, Any]:
        """``{"name", "chain_b64", "serial", "not_after"}`` of this cloud, for the context's migration."""
        return identity.public_view(identity.of(context.get("migration_id")))

    @oslo_messaging.expose
    def identity(self, context: dict[str, Any]) -> dict[str, Any]:
        """``{"chain_b64", "private_key_ref"}``: the same certificate, and where its private key is."""
        certificate = identity.of(context.get("migration_id"))
        return {
            "chain_b64": identity.chain_b64(certificate),
            "private_key_ref": certificate.private_key_ref,
        }

    @oslo_messaging.expose
    def validate(
        self, context: dict[str, Any], chain_b64: list[str], name: str, ca_pem: str
    ) -> dict[str, Any]:
        """``{"not_after"}`` of a peer's certificate that is good: path, name, use, validity, revocation.

        :param name: the peer's in the agreement.
        :param ca_pem: the agreement's CA; nobody else is trusted.
        :raises sv2m.errors.InvalidCertificate: it is not good.
        :raises sv2m.errors.HostError: whether it is revoked cannot be known.
        """
        try:
            chain = path.load_chain([base64.b64decode(part) for part in chain_b64])
        except binascii.Error as error:
            raise errors.InvalidCertificate("the chain is not base64") from error
        now = self._now()
        self._revocation.check(path.validate(chain, name, path.load_anchors(ca_pem), now), now)
        return {"not_after": chain[0].not_valid_after_utc.isoformat()}

    @oslo_messaging.expose
    def revocation_lists(self, context: dict[str, Any]) -> dict[str, Any]:
        """``{"crls_b64"}``: the lists (DER) by which peers' certificates were last checked."""
        return {"crls_b64": [base64.b64encode(one).decode("ascii") for one in self._revocation.all()]}
