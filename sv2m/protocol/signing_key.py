# SPDX-License-Identifier: Apache-2.0
"""Which keys sign, with which algorithm: ECDSA P-384 with SHA-384, or RSA-PSS with SHA-384. Nothing else,
either way.

The algorithm follows from the key in the certificate; it is never taken from the document. So there is no
HMAC with the public key as its secret, no SHA-1 and no PKCS #1 v1.5 to be talked into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from signxml.algorithms import SignatureMethod

from sv2m import errors

#: Of all that XML Signature knows.
METHODS: Final = (SignatureMethod.ECDSA_SHA384, SignatureMethod.SHA384_RSA_MGF1)
#: NIST SP 800-57: at least 128 bits of strength; P-384 has 192.
MIN_RSA_BITS: Final = 3072
MAX_RSA_BITS: Final = 8192
#: Order of P-384's base point (NIST SP 800-186, 3.2.1.4), and bytes of each of r and s.
P384_ORDER: Final = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)
P384_BYTES: Final = 48


class DeterministicKey:
    """A P-384 key that signs by RFC 6979: the same document gives the same signature, always.

    Why: a step that is cut off and done again then sends the very same bytes, which the peer takes as the
    same message; and the trailer's signature, sealed again after a crash, is the same plaintext under the
    same IV. Of the two values (r, s) and (r, n - s), which both verify, it makes the one with the lower s.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def key_size(self) -> int:
        """Bits of the curve's order; signxml pads r and s to it."""
        return self._key.key_size

    def sign(self, data: bytes, signature_algorithm: ec.ECDSA) -> bytes:
        """What signxml asks of a key; returns the DER signature."""
        signed = self._key.sign(data, ec.ECDSA(signature_algorithm.algorithm, deterministic_signing=True))
        r, s = decode_dss_signature(signed)
        return encode_dss_signature(r, min(s, P384_ORDER - s))


@dataclass(frozen=True)
class Signer:
    """A private key that belongs to a certificate, ready for signxml.

    :param method: XML Signature algorithm.
    :param key: what signxml signs with.
    :param leaf: the certificate, DER.
    """

    method: SignatureMethod
    key: Any
    leaf: bytes


def load_certificate(certificate_der: bytes) -> x509.Certificate:
    """A certificate whose key may sign.

    :raises InvalidCertificate: it is none, or its key is of another kind or too weak.
    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        public_key = certificate.public_key()
    except Exception as error:  # cryptography raises several kinds for what is no certificate or key
        raise errors.InvalidCertificate("the certificate cannot be read") from error
    _method(public_key)
    return certificate


def method_of(certificate: x509.Certificate) -> SignatureMethod:
    """The one algorithm by which this certificate's key signs."""
    return _method(certificate.public_key())


def is_unique(method: SignatureMethod, value: bytes) -> bool:
    """Whether nobody but the key's owner could have made this value of another one that verifies.

    Of an ECDSA value (r, s) anybody can make (r, n - s): other bytes, other digest, and still a good signature.
    A document that was exchanged for such a twin on its way would be another message than its sender's, and
    whatever names the one would not name the other. So only the lower s is taken. RSA-PSS has no such twin.
    """
    if method is not SignatureMethod.ECDSA_SHA384:
        return True
    return len(value) == 2 * P384_BYTES and int.from_bytes(value[P384_BYTES:]) <= P384_ORDER // 2


def load_signer(private_key_pem: bytes, chain: Sequence[bytes]) -> Signer:
    """Private key (PEM, not encrypted) and chain (DER, leaf first) as a Signer.

    :raises ConfigurationError: the key cannot be read or does not belong to the leaf.
    :raises InvalidCertificate: as load_certificate().
    """
    if not chain:
        raise errors.ConfigurationError("there is no certificate to sign with")
    certificate = load_certificate(chain[0])
    try:
        key = load_pem_private_key(private_key_pem, None)
    except (ValueError, TypeError) as error:
        # The cause is not chained: an exception may quote what it could not parse, which is a private key.
        raise errors.ConfigurationError(f"the signing key cannot be read ({type(error).__name__})") from None
    if _spki(key.public_key()) != _spki(certificate.public_key()):
        raise errors.ConfigurationError("the signing key does not belong to the certificate")
    signing: Any = DeterministicKey(key) if isinstance(key, ec.EllipticCurvePrivateKey) else key
    return Signer(method_of(certificate), signing, chain[0])


def _spki(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _method(key: object) -> SignatureMethod:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1):
        return SignatureMethod.ECDSA_SHA384
    if isinstance(key, rsa.RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return SignatureMethod.SHA384_RSA_MGF1
    raise errors.InvalidCertificate(
        f"the certificate's key is neither on P-384 nor RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"
    )
