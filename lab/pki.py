# SPDX-License-Identifier: Apache-2.0
"""A cloud's own certificate authority for TLS, and the certificate of its SV2M gateway. They share neither.

It has nothing to do with the trusted third party, which certifies the keys that sign evidence.
"""

from __future__ import annotations

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.cloud import Cloud
from lab.ini import write_private

_NOW = datetime.timedelta()


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def builder(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    first: datetime.timedelta,
    last: datetime.timedelta,
) -> x509.CertificateBuilder:
    """A certificate valid from `first` (less five minutes, for clocks that differ) to `last` from now."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + first - datetime.timedelta(minutes=5))
        .not_valid_after(now + last)
    )


def authority(common_name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A new root: its key and self-signed certificate."""
    key = ec.generate_private_key(ec.SECP384R1())
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        builder(name(common_name), key.public_key(), name(common_name), _NOW, datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    return key, certificate


def server_certificate(
    ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, host: str, addresses: tuple[str, ...]
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A TLS server's key and certificate for a host name and its addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(host)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    certificate = (
        builder(name(host), key.public_key(), ca.subject, _NOW, datetime.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA384())
    )
    return key, certificate


def issue(cloud: Cloud) -> None:
    """Write <cloud>/etc/tls/{ca.pem,gateway.pem,gateway.key}. The CA's key is forgotten."""
    ca_key, ca = authority(f"{cloud.full_name} TLS CA")
    key, certificate = server_certificate(ca_key, ca, cloud.full_name, (cloud.address,))
    write_private(cloud.tls / "ca.pem", certificate_pem(ca), 0o644)
    write_private(cloud.tls / "gateway.pem", certificate_pem(certificate), 0o644)
    write_private(cloud.tls / "gateway.key", key_pem(key))
