# SPDX-License-Identifier: Apache-2.0
"""With which certificate this cloud signs.

A migration goes on with the certificate with which it began, because its peer verifies every message with the
one that the first message brought: the one that is in that message, or before there is one, the newest that was
in use when the migration began. A renewal therefore retires the old certificate, and its key goes when the last
migration that began under it can no longer be asked about.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from oslo_log import log
from sqlalchemy.orm import Session

from sv2m import errors, protocol
from sv2m.cmm import ports
from sv2m.db import certificates, engine, messages, migrations, owing
from sv2m.db.models import Certificate, Migration
from sv2m.protocol import states

LOG = log.getLogger(__name__)


def of(migration_id: str | None) -> Certificate:
    """The certificate of a migration; or of now, without one.

    :raises sv2m.errors.ConfigurationError: this cloud has none.
    :raises sv2m.errors.SigningKeyGone: its key was destroyed. What another key signs, the peer would not believe.
    """
    with engine.session() as session:
        active = certificates.active(session)
        migration = migrations.find(session, migration_id) if migration_id else None
        if active is None:
            raise errors.ConfigurationError(
                "this cloud has no evidence certificate",
                remedy="Run: sv2m-manage certificate enrol (or request and import).",
            )
        if migration is None:
            return active
        found = _of(session, migration, [*_retired(session), active])
        if not found.private_key_ref:
            raise errors.SigningKeyGone(
                f"migration {migration.id} began under certificate {found.serial}, whose private key was destroyed"
            )
        return found


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


def _retired(session: Session) -> list[Certificate]:
    """Certificates that were in use once, oldest first; a request that came to nothing never was."""
    return [one for one in certificates.list_all(session, state="retired") if one.chain_pem]


def _of(session: Session, migration: Migration | owing.Owing, used: Sequence[Certificate]) -> Certificate:
    """Which of the certificates that were in use is a migration's.

    :param used: oldest first; the last one is in use now.
    """
    introduction = messages.find(session, migration.id, states.INTRODUCES[migration.role])
    shown = None if introduction is None else _shown(introduction.document)
    for one in used:
        if shown is not None and _leaf(one) == shown:
            return one
    return next((one for one in reversed(used) if one.at <= migration.created_at), used[-1])


def _shown(document: bytes) -> bytes | None:
    """The certificate (DER) that a message of ours has shown to the peer."""
    try:
        return protocol.claimed_party(document).chain[0]
    except errors.SV2MError:
        return None


def _leaf(certificate: Certificate) -> bytes:
    return x509.load_pem_x509_certificate((certificate.chain_pem or "").encode()).public_bytes(Encoding.DER)


class RetiredKeys:
    """Destroys the private keys of retired certificates that no migration needs any more."""

    def __init__(
        self, secrets: ports.SecretStore, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._secrets = secrets
        self._now = now

    def sweep(self) -> list[str]:
        """Destroy what can be; the ids of the certificates whose keys are gone now."""
        with engine.session() as session:
            active = certificates.active(session)
            retired = _retired(session)
            with_key = [one for one in retired if one.private_key_ref]
            if active is None:
                return []
            left = owing.list_owing(session) if with_key else []
            # By the very rule by which a certificate is chosen for a signature: what may still sign is what stays.
            needed = {_of(session, one, [*retired, active]).id for one in left}
        gone = []
        for certificate in with_key:
            if certificate.id in needed:
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
