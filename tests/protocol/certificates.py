# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates for tests, made once per run."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2046, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Identity:
    name: str
    key: bytes
    chain: tuple[bytes, ...]

    @property
    def leaf(self) -> bytes:
        return self.chain[0]


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make(name: str, key=None, ca=None) -> Identity:
    """A certificate for name by the CA (its key and its name), or by itself."""
    key = key or ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_key, issuer, chain = ca or (key, subject, ())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA384())
    )
    return Identity(name, pem(key), (certificate.public_bytes(Encoding.DER), *chain))


@functools.cache
def authority():
    key = ec.generate_private_key(ec.SECP384R1())
    identity = make("ttp.sv2m", key)
    return key, x509.load_der_x509_certificate(identity.leaf).subject, identity.chain


@functools.cache
def identity(name: str) -> Identity:
    return make(name, ca=authority())


@functools.cache
def rsa_identity(name: str) -> Identity:
    return make(name, rsa.generate_private_key(65537, 3072), authority())


def ca_pem() -> bytes:
    return x509.load_der_x509_certificate(authority()[2][0]).public_bytes(Encoding.PEM)


def public_of(private_pem: bytes) -> bytes:
    """SubjectPublicKeyInfo (DER) of a private key."""
    return (
        load_pem_private_key(private_pem, None)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
