# SPDX-License-Identifier: Apache-2.0
"""How this cloud gets its evidence certificate: by EST, or by a request file and an import.

The private key is made here, goes to Barbican at once, and is read from there by MAM alone; the certificate
is stored in Barbican too, and with its chain in the database, where it is public anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from oslo_log import log

from sv2m import errors
from sv2m.cmm import ports, request
from sv2m.db import certificates, engine
from sv2m.db.models import Certificate
from sv2m.evidence import path, pem

LOG = log.getLogger(__name__)


class Enrolment:
    """Requests, imports and renews.

    :param cloud_name: of this cloud; becomes the certificate's only name.
    :param service: the CA's EST server; None when the configuration names none.
    """

    def __init__(
        self,
        cloud_name: str,
        secrets: ports.SecretStore,
        service: ports.EnrolmentService | None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cloud_name = cloud_name
        self._secrets = secrets
        self._service = service
        self._now = now

    @property
    def can_enrol(self) -> bool:
        """Whether an EST server is configured."""
        return self._service is not None

    def request(self) -> Certificate:
        """Make a key and a request, and keep both; the row's ``csr_pem`` is what the CA wants.

        :raises sv2m.errors.HostError: Barbican failed.
        """
        if not self._cloud_name:
            raise errors.ConfigurationError("[DEFAULT] cloud_name is not set")
        private_key, csr = request.make(self._cloud_name)
        try:
            ref = self._secrets.store(
                private_key,
                name=f"sv2m evidence key of {self._cloud_name}",
                secret_type="private",  # noqa: S106  (Barbican's name for the kind)
                algorithm="ec",
                bit_length=384,
            )
        finally:
            private_key[:] = bytes(len(private_key))
        with engine.session() as session:
            return certificates.create(
                session,
                now=self._now(),
                state="pending",
                name=self._cloud_name,
                private_key_ref=ref,
                csr_pem=request.pem(csr),
            )

    def import_chain(self, chain_pem: str | bytes) -> Certificate:
        """Take a certificate that the CA made for one of our requests, and sign with it from now on.

        :param chain_pem: the certificate and the CAs between it and the trust anchor, in PEM, in any order.
        :raises sv2m.errors.LocalError: it holds something else, or is for no pending request.
        :raises sv2m.errors.InvalidCertificate: the certificate does not chain up to a CA that came with it.
        """
        given = pem.certificates(chain_pem, "the file")
        with engine.session() as session:
            pending = list(certificates.list_all(session, state="pending"))
        for row in pending:
            csr = x509.load_pem_x509_csr((row.csr_pem or "").encode())
            for certificate in given:
                if request.same_key(csr, certificate):
                    return self._activate(row, certificate, given)
        raise errors.LocalError(
            "no certificate in the file is for the key of a pending request",
            code="invalid-certificate",
            remedy="See the pending requests with: sv2m-manage certificate show",
        )

    def enrol(self) -> Certificate:
        """Get a first certificate by EST (RFC 7030, 4.2.1), and sign with it from now on.

        :raises sv2m.errors.ConfigurationError: no EST server is configured, or it does not know us.
        :raises sv2m.errors.HostError: the EST server or Barbican failed.
        """
        return self._by_est(renewal=False)

    def renew(self) -> Certificate:
        """Get the next certificate, with a new key, by EST (RFC 7030, 4.2.2).

        :raises sv2m.errors.ConfigurationError: there is nothing to renew, or no EST server.
        :raises sv2m.errors.HostError: the EST server or Barbican failed; the present certificate stays.
        """
        with engine.session() as session:
            if certificates.active(session) is None:
                raise errors.ConfigurationError(
                    "there is no certificate to renew", remedy="Run: sv2m-manage certificate enrol"
                )
        return self._by_est(renewal=True)

    def _by_est(self, *, renewal: bool) -> Certificate:
        if self._service is None:
            raise errors.ConfigurationError(
                "[cmm] est_url is not set",
                remedy="Set it, or use: sv2m-manage certificate request, and import what the CA sends.",
            )
        row = self.request()
        csr = x509.load_pem_x509_csr((row.csr_pem or "").encode())
        try:
            ask = self._service.simplereenroll if renewal else self._service.simpleenroll
            issued = list(ask(request.der(csr)).certificates)
            mine = [one for one in issued if request.same_key(csr, one)]
            if not mine:
                raise errors.HostError(
                    "the EST server's answer holds no certificate for the key that was sent"
                )
            return self._activate(row, mine[0], [*issued, *self._service.cacerts().certificates])
        except BaseException:
            # The request is worth nothing without its answer; the next attempt makes another.
            self._discard(row)
            raise

    def _activate(
        self, row: Certificate, leaf: x509.Certificate, others: Sequence[x509.Certificate]
    ) -> Certificate:
        now = self._now()
        chain = _chain(leaf, others)
        # What a peer would refuse is refused here, before it replaces what works.
        anchors = [one for one in others if one.subject == one.issuer] or chain[1:]
        if not anchors:
            raise errors.LocalError(
                "the certificate came without its CA's, so it cannot be checked",
                code="invalid-certificate",
                remedy="Append the CA's certificate to the file, and import it again.",
            )
        path.validate(chain, self._cloud_name, anchors, now)
        chain_pem = pem.encode(chain)
        ref = self._secrets.store(
            leaf.public_bytes(Encoding.PEM),
            name=f"sv2m evidence certificate of {self._cloud_name}",
            secret_type="certificate",  # noqa: S106  (Barbican's name for the kind)
        )
        with engine.session() as session:
            activated = certificates.activate(
                session,
                row.id,
                serial=f"{leaf.serial_number:x}",
                chain_pem=chain_pem,
                certificate_ref=ref,
                not_after=leaf.not_valid_after_utc,
                # From when on it signs: which of two certificates a migration uses depends on it.
                at=now,
            )
        LOG.info(
            "Certificate %s of %s is in use until %s", activated.serial, self._cloud_name, activated.not_after
        )
        return activated

    def _discard(self, row: Certificate) -> None:
        try:
            self._secrets.delete(row.private_key_ref or "")
        except errors.SV2MError as error:
            LOG.warning("The key of an unanswered request could not be deleted: %s", error)
            return
        with engine.session() as session:
            certificates.update(session, row.id, state="retired", private_key_ref=None)


def _chain(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Leaf first, then the CAs that lead from it towards an anchor, which itself is left out."""
    chain = [leaf]
    while len(chain) < path.MAX_CHAIN:
        wanted = chain[-1].issuer
        above = [
            one for one in others if one.subject == wanted and one.subject != one.issuer and one not in chain
        ]
        if not above:
            break
        chain.append(above[0])
    return chain
