# SPDX-License-Identifier: Apache-2.0
"""The lab's certificate authority: what it knows is in files, for service and administrator."""

from __future__ import annotations

import datetime
import json
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import pki
from lab.cloud import DOMAIN, PORTS, Lab
from lab.ini import write_private
from lab.ttp.timestamping import TimestampAuthority

DAYS = 90
CRL_URL = f"http://ttp.{DOMAIN}:{PORTS['ttp-crl']}/crl.der"
_CRL_HOURS = 24


class RefusedError(Exception):
    """The authority does not certify this request; the message says why."""


@dataclass(frozen=True)
class Profile:
    """What a certificate is to be; the defaults are an evidence certificate's, all else is wrong."""

    first_day: float = 0.0
    last_day: float = float(DAYS)
    evidence: bool = True


class Authority:
    """The CA in <lab>/ttp; `create` makes it, everything else needs it to exist."""

    def __init__(self, lab: Lab) -> None:
        self._own = lab.ttp.directory / "ca"
        #: The trust anchor that both clouds are given.
        self.anchor = lab.ttp.directory / "ca.pem"
        #: It also says what time it is.
        self.timestamps = TimestampAuthority(self._own / "tsa")

    def create(self) -> None:
        key, certificate = pki.authority("SV2M lab trusted third party")
        write_private(self._own / "key.pem", pki.key_pem(key))
        write_private(self.anchor, pki.certificate_pem(certificate), 0o644)
        (self._own / "issued").mkdir(exist_ok=True)
        self.timestamps.create(key, certificate)

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.anchor.read_bytes())

    def _key(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key((self._own / "key.pem").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the authority's key is not an EC key")
        return key

    def write_server_certificate(self, directory: Path) -> tuple[Path, Path]:
        """The certificate and key of the EST service itself."""
        key, certificate = pki.server_certificate(
            self._key(), self.certificate, f"ttp.{DOMAIN}", ("127.0.0.1",)
        )
        write_private(directory / "server.pem", pki.certificate_pem(certificate), 0o644)
        write_private(directory / "server.key", pki.key_pem(key))
        return directory / "server.pem", directory / "server.key"

    def certify(self, request: x509.CertificateSigningRequest, cloud_name: str) -> x509.Certificate:
        """Certify a cloud's evidence key.

        Raises:
            RefusedError: the request is not signed by its own key, names another cloud, or its key
                is not on P-384
        """
        if not request.is_signature_valid:
            raise RefusedError("the request is not signed by the key it is for")
        names = [name.value for name in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if names != [cloud_name]:
            raise RefusedError(f"the request is for {names}, its sender is {cloud_name}")
        key = request.public_key()
        if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)):
            raise RefusedError("evidence keys are ECDSA on P-384")
        return self.issue(key, cloud_name)

    def issue(
        self, key: ec.EllipticCurvePublicKey, cloud_name: str, profile: Profile = Profile()
    ) -> x509.Certificate:
        """Sign a certificate without any question: the administrator's way, and the tests' to wrong ones."""
        signer = self._key()
        # digitalSignature and contentCommitment (what evidence takes), or a use that is neither.
        good = profile.evidence
        usage = x509.KeyUsage(good, good, not good, False, False, False, False, False, False)
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(CRL_URL)], None, None, None)
        first, last = datetime.timedelta(days=profile.first_day), datetime.timedelta(days=profile.last_day)
        certificate = (
            pki.builder(pki.name(cloud_name), key, self.certificate.subject, first, last)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(cloud_name)]), critical=False)
            .add_extension(x509.CRLDistributionPoints([point]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .sign(signer, hashes.SHA384())
        )
        write_private(
            self._own / "issued" / f"{certificate.serial_number:x}.pem", pki.certificate_pem(certificate)
        )
        return certificate

    def issued(self) -> list[x509.Certificate]:
        """All certificates ever issued, the oldest first."""
        files = sorted((self._own / "issued").glob("*.pem"), key=lambda path: path.stat().st_mtime_ns)
        return [x509.load_pem_x509_certificate(path.read_bytes()) for path in files]

    def revoked(self) -> dict[int, float]:
        """Serial numbers and when each was revoked, in seconds of Unix time."""
        path = self._own / "revoked.json"
        found: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        return {int(serial, 16): when for serial, when in found.items()}

    def revoke(self, serial: int) -> None:
        """Put a certificate on the CRL, from now on.

        Raises:
            RefusedError: this authority never issued it
        """
        if serial not in {certificate.serial_number for certificate in self.issued()}:
            raise RefusedError(f"no certificate with the serial number {serial:x} was issued")
        revoked = {serial: time.time(), **self.revoked()}
        write_private(
            self._own / "revoked.json", json.dumps({f"{number:x}": when for number, when in revoked.items()})
        )

    def crl(self) -> bytes:
        """The certificate revocation list of this instant, DER; it says it is good for a day."""
        now = datetime.datetime.now(datetime.UTC)
        signer = self._key()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - datetime.timedelta(minutes=5))
            .next_update(now + datetime.timedelta(hours=_CRL_HOURS))
            .add_extension(x509.CRLNumber(time.time_ns()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
        )
        for serial, when in self.revoked().items():
            date = datetime.datetime.fromtimestamp(when, datetime.UTC)
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(signer, hashes.SHA384()).public_bytes(serialization.Encoding.DER)
