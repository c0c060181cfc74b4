# SPDX-License-Identifier: Apache-2.0
"""A certificate authority that is the same in every run: its keys follow from numbers, its signatures from RFC 6979."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CLOUD = "cloud-a.sv2m"
CRL_URL = "http://crl.test/ca.crl"


def _key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, ec.SECP384R1())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _use(*, leaf: bool) -> x509.KeyUsage:
    return x509.KeyUsage(leaf, leaf, False, False, False, not leaf, not leaf, False, False)


@functools.cache
def certificate(name: str, number: int, issuer: str, by: int, *, leaf: bool = False) -> x509.Certificate:
    """A certificate of the number-th key by the by-th."""
    key, signer = _key(number), _key(by)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.BasicConstraints(not leaf, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_use(leaf=leaf), critical=True)
    )
    if leaf:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(CRL_URL)], None, None, None)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return builder.sign(signer, hashes.SHA384(), ecdsa_deterministic=True)


def root() -> x509.Certificate:
    """The trust anchor."""
    return certificate("root", 1001, "root", 1001)


def chain() -> list[x509.Certificate]:
    """Leaf and the CA between it and the root."""
    return [certificate(CLOUD, 1003, "middle", 1002, leaf=True), certificate("middle", 1002, "root", 1001)]


def stranger() -> list[x509.Certificate]:
    """The same names by an authority that nobody has agreed on."""
    return [certificate(CLOUD, 2003, "middle", 2002, leaf=True), certificate("middle", 2002, "root", 2001)]


def der(one: x509.Certificate) -> bytes:
    """DER."""
    return one.public_bytes(Encoding.DER)


def crl(name: str, by: int, *serials: int) -> bytes:
    """A revocation list, DER."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(name))
        .last_update(NOW - timedelta(hours=1))
        .next_update(NOW + timedelta(days=1))
        .add_extension(x509.CRLNumber(7), critical=False)
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - timedelta(days=1))
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(_key(by), hashes.SHA384(), ecdsa_deterministic=True).public_bytes(Encoding.DER)
