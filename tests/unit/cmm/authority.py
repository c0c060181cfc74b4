# SPDX-License-Identifier: Apache-2.0
"""Certificate authorities for tests, good and bad."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CLOUD = "cloud-a.sv2m"
CRL_URL = "http://crl.test/ca.crl"
_NO_USE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)
EVIDENCE = {"digital_signature": True, "content_commitment": True}
AUTHORITY = {"key_cert_sign": True, "crl_sign": True}


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass
class Certified:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def certify(
        self,
        name: str,
        *,
        key: Any = None,
        public_key: Any = None,
        names: list[x509.GeneralName] | None = None,
        use: dict[str, bool] | None = None,
        extended: list[x509.ObjectIdentifier] | None = None,
        ca: bool = False,
        path_length: int | None = None,
        begins: datetime = NOW - timedelta(days=10),
        ends: datetime = NOW + timedelta(days=90),
        crl_url: str | None = None,
        extra: x509.ExtensionType | None = None,
    ) -> Certified:
        """Certify a key of its own, or the one given."""
        key = key or ec.generate_private_key(ec.SECP384R1())
        use = use if use is not None else (AUTHORITY if ca else EVIDENCE)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(self.certificate.subject)
            .public_key(public_key or key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca, path_length), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(public_key or key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )
        if use:
            builder = builder.add_extension(x509.KeyUsage(**{**_NO_USE, **use}), critical=True)
        if names is None and not ca:
            names = [x509.DNSName(name)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        if crl_url:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        if extra:
            builder = builder.add_extension(extra, critical=True)
        return Certified(key, builder.sign(self.key, hashes.SHA384()))

    def crl(
        self,
        *revoked: Certified,
        issued: datetime = NOW - timedelta(hours=1),
        ends: datetime = NOW + timedelta(days=1),
        extra: x509.ExtensionType | None = None,
        issuer: str | None = None,
        reason: x509.ReasonFlags | None = None,
        number: int | None = None,
    ) -> bytes:
        """A revocation list, DER.

        :param reason: of all that are revoked; number: of the list.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(named(issuer) if issuer else self.certificate.subject)
            .last_update(issued)
            .next_update(ends)
        )
        for one in revoked:
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(one.certificate.serial_number)
                .revocation_date(NOW - timedelta(days=1))
            )
            if reason:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        if extra:
            builder = builder.add_extension(extra, critical=True)
        return builder.sign(self.key, hashes.SHA384()).public_bytes(Encoding.DER)


def root(name: str = "trusted third party", *, use: dict[str, bool] | None = None) -> Certified:
    """A certificate authority that signed itself."""
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=365))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USE, **(use or AUTHORITY)}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    return Certified(key, certificate)
