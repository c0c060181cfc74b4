# SPDX-License-Identifier: Apache-2.0
"""The evidence key and the request for its certificate."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: What an evidence certificate is for: signing, and not being able to deny it (RFC 5280, 4.2.1.3).
EVIDENCE_USE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def make(cloud_name: str) -> tuple[bytearray, x509.CertificateSigningRequest]:
    """Make an ECDSA P-384 key, and the request (PKCS#10) that proves its possession.

    :param cloud_name: becomes common name and the only DNS name.
    :returns: the private key (PKCS#8, PEM), to be wiped by the caller, and the request.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cloud_name)]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(cloud_name)]), critical=False)
        .add_extension(EVIDENCE_USE, critical=True)
        .sign(key, hashes.SHA384())
    )
    private_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return bytearray(private_key), request


def pem(request: x509.CertificateSigningRequest) -> str:
    """A request in PEM."""
    return request.public_bytes(serialization.Encoding.PEM).decode("ascii")


def der(request: x509.CertificateSigningRequest) -> bytes:
    """A request in DER."""
    return request.public_bytes(serialization.Encoding.DER)


def same_key(request: x509.CertificateSigningRequest, certificate: x509.Certificate) -> bool:
    """Whether a certificate is for the key of a request."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        certified = certificate.public_key().public_bytes(serialization.Encoding.DER, form)
    except (ValueError, UnsupportedAlgorithm):
        return False  # a key of a kind or form that nobody knows; ours is known
    return request.public_key().public_bytes(serialization.Encoding.DER, form) == certified
