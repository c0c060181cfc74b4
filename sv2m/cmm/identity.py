# SPDX-License-Identifier: Apache-2.0
"""With which certificate this cloud signs.

A migration goes on with the certificate with which it began, because its peer verifies every message with the
one that the first message brought. A renewal therefore retires the old certificate, and its key goes when the
last migration that began under it has ended.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from oslo_log import log

from sv2m import errors
from sv2m.cmm import ports
from sv2m.db import certificates, engine, migrations
from sv2m.db.models import Certificate

LOG = log.getLogger(__name__)
_PAGE = 1000


def of(migration_id: str | None) -> Certificate:
    """The certificate of a migration: the newest that was in use when it began; or of now, without one.

    :raises sv2m.errors.ConfigurationError: this cloud has none.
    """
    with engine.session() as session:
        active = certificates.active(session)
        migration = migrations.find(session, migration_id) if migration_id else None
        if active is None:
            raise errors.ConfigurationError(
                "this cloud has no evidence certificate",
                remedy="Run: sv2m-manage certificate enrol (or request and import).",
            )
        if migration is None or active.at <= migration.created_at:
            return active
        retired = certificates.list_all(session, state="retired")
        before = [one for one in retired if one.private_key_ref and one.at <= migration.created_at]
        return before[-1] if before else active


def chain_b64(certificate: Certificate) -> list[str]:
    """Its chain: base64 of DER, leaf first."""
    chain = x509.load_pem_x509_certificates((certificate.chain_pem or "").encode())
    return [base64.b64encode(one.public_bytes(Encoding.DER)).decode("ascii") for one in chain]


def public_view(certificate: Certificate) -> dict[str, Any]:
    """What may be told about a certificate: name, chain, serial, end."""
    return {
        "name": certificate.name,
        "chain_b64": chain_b64(certificate),
        "serial": certificate.serial,
        "not_after": certificate.not_after.isoformat() if certificate.not_after else None,
    }


class RetiredKeys:
    """Destroys the private keys of retired certificates that no running migration needs."""

    def __init__(
        self, secrets: ports.SecretStore, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._secrets = secrets
        self._now = now

    def sweep(self) -> list[str]:
        """Destroy what can be; the ids of the certificates whose keys are gone now."""
        with engine.session() as session:
            active = certificates.active(session)
            retired = [one for one in certificates.list_all(session, state="retired") if one.private_key_ref]
            running = migrations.list_page(session, limit=_PAGE, status="running") if retired else []
        gone = []
        for certificate in retired:
            # A migration that began before the present certificate may still sign with a retired one.
            if active is None or any(one.created_at < active.at for one in running):
                continue
            try:
                self._secrets.delete(certificate.private_key_ref or "")
            except errors.SV2MError as error:
                LOG.warning("The key of retired certificate %s stays for now: %s", certificate.serial, error)
                continue
            with engine.session() as session:
                certificates.update(session, certificate.id, private_key_ref=None)
            gone.append(certificate.id)
        return gone
