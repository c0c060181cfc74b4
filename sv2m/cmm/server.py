# SPDX-License-Identifier: Apache-2.0
"""CMM's RPC endpoint."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import oslo_messaging
from cryptography import x509
from oslo_log import log

from sv2m import errors
from sv2m.cmm import identity
from sv2m.cmm.revocation import RevocationLists
from sv2m.evidence import path

LOG = log.getLogger(__name__)


class Endpoint:
    """Topic ``sv2m-cmm``."""

    target = oslo_messaging.Target(version="1.1")

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
        """Whether a peer's certificate is good now: path, name, use, validity, revocation.

        :param name: the peer's in the agreement.
        :param ca_pem: the agreement's CA; nobody else is trusted.
        :returns: ``{"not_after"}`` of its path: when the first certificate of it ends.
        :raises sv2m.errors.InvalidCertificate: it is not good.
        :raises sv2m.errors.HostError: whether it is revoked cannot be known.
        """
        chain, now = _load(chain_b64), self._now()
        whole = path.validate(chain, name, path.load_anchors(ca_pem), now)
        self._revocation.check(whole, now)
        return {"not_after": path.first_to_end(whole).not_valid_after_utc.isoformat()}

    @oslo_messaging.expose
    def first_to_end(self, context: dict[str, Any], chain_b64: list[str], ca_pem: str) -> dict[str, Any]:
        """``{"not_after", "serial", "subject"}`` of the certificate that ends first on the way to the CA.

        :param chain_b64: a peer's chain that was validated, or this cloud's own; nothing of it is judged here.
        :param ca_pem: the agreement's CA.
        """
        first = path.first_to_end(path.lead(_load(chain_b64), path.load_anchors(ca_pem)))
        return {
            "not_after": first.not_valid_after_utc.isoformat(),
            "serial": f"{first.serial_number:x}",
            "subject": first.subject.rfc4514_string(),
        }

    @oslo_messaging.expose
    def check_keys(self, context: dict[str, Any], chain_b64: list[str], ca_pem: str) -> None:
        """After the commit: that no revocation list says of a key of a path that it is a thief's.

        The path was validated when its peer was introduced, and is not validated again: neither the time nor a new
        agreement, a new rule or a CA that is away changes who signed.

        :param ca_pem: the CAs of then and of now; what is none among them does no harm here.
        :raises sv2m.errors.PeerKeyCompromised: one does.
        """
        chain = _load(chain_b64)
        self._revocation.check_keys(path.lead(chain, _any_anchors(ca_pem)), self._now())

    @oslo_messaging.expose
    def revocation_lists(self, context: dict[str, Any]) -> dict[str, Any]:
        """``{"crls_b64"}``: the lists (DER) by which peers' certificates were last checked."""
        return {"crls_b64": [base64.b64encode(one).decode("ascii") for one in self._revocation.all()]}


def _load(chain_b64: list[str]) -> list[x509.Certificate]:
    try:
        return path.load_chain([base64.b64decode(part) for part in chain_b64])
    except binascii.Error as error:
        raise errors.InvalidCertificate("the chain is not base64") from error


def _any_anchors(ca_pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(ca_pem.encode())
    except (ValueError, x509.InvalidVersion) as error:
        LOG.warning("Only part of a peer's path can be looked at: %s", error)
        return []
