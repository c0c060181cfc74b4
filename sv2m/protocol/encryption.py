# SPDX-License-Identifier: Apache-2.0
"""Keys on their way to B: RSA-OAEP to ekB, and commitments to what was wrapped.

OAEP with SHA-256 and MGF1-SHA-256 (XML Encryption 1.1, section 5.5.2, rsa-oaep), the session's context digest
as label. The elements around the bytes are in wire/encrypted.py.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from sv2m import errors
from sv2m.protocol import fields as check
from sv2m.protocol.plan import VMK_BITS, VMK_NAME, check_key_name

#: ekB. RSA-3072 has 128 bits of strength (NIST SP 800-57) and makes in a tenth of the time of RSA-4096.
EPHEMERAL_BITS: Final = 3072
MAX_EPHEMERAL_BITS: Final = 4096
_EXPONENT: Final = 65537
#: The longest EIK is a passphrase of 256 bytes; OAEP at RSA-3072 has room for 318.
_MAX_KEY: Final = 256


def new_ephemeral_key() -> tuple[bytes, bytes]:
    """A fresh ekB: public key as SubjectPublicKeyInfo (DER), private key as PKCS #8 (PEM, not encrypted)."""
    key = rsa.generate_private_key(_EXPONENT, EPHEMERAL_BITS)
    return (
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def check_recipient(recipient_spki: bytes) -> int:
    """Whether keys may be wrapped to this public key.

    :returns: the length of what wrapping to it gives, in bytes.
    :raises IntegrityError: not RSA of 3072 or 4096 bits with exponent 65537.
    """
    return _recipient(recipient_spki).key_size // 8


def wrap_key(key: bytes, name: str, recipient_spki: bytes, context_digest: bytes) -> bytes:
    """Encrypt a key to ekB.

    :param name: VMK or EIK-n; a VMK has 32 bytes, an EIK 1 to 256.
    :param recipient_spki: ekB from TokenBA2, DER SubjectPublicKeyInfo.
    :param context_digest: from session.context_digest(), 32 bytes.
    :returns: the CipherValue; different each time, because OAEP is randomised.
    :raises LocalError: the key or digest has the wrong length.
    :raises IntegrityError: as check_recipient().
    """
    check_key_name(name)
    if name == VMK_NAME:
        check.octets("VMK", key, VMK_BITS // 8)
    else:
        check.octets(name, key, 1, _MAX_KEY)
    return _recipient(recipient_spki).encrypt(key, _oaep(context_digest))


def unwrap_key(cipher_value: bytes, recipient_private_pem: bytes, context_digest: bytes) -> bytes:
    """Decrypt what wrap_key() made.

    :param recipient_private_pem: ekB's private half, PKCS #8, not encrypted.
    :raises IntegrityError: not for this key and this session. It does not say more, nor need it: the whole
        Envelope is signed by A, so nobody else gets to try (Manger's attack needs an oracle).
    :raises LocalError: the private key cannot be read, or the digest has the wrong length.
    """
    try:
        key = load_pem_private_key(recipient_private_pem, None)
    except (ValueError, TypeError) as error:
        # Not chained: an exception may quote what it could not parse, which is a private key.
        raise check.invalid("ekB", f"cannot be read ({type(error).__name__})") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise check.invalid("ekB", "must be an RSA key")
    try:
        return key.decrypt(cipher_value, _oaep(context_digest))
    except ValueError:
        raise errors.IntegrityError(
            "a wrapped key does not open with this session's key and context"
        ) from None


def commitment(name: str, migration_id: str, key: bytes) -> bytes:
    """SHA-256("sv2m-vmk" ‖ MigrationId ‖ key), for EIK-n with "sv2m-eik-n".

    AES-GCM does not commit to its key: one ciphertext can open under two. The commitment in the signed
    Envelope makes sure that there is only one VMK which B can have used. A VMK and an EIK have 256 bits of
    entropy, so the digest gives nothing away.

    :param migration_id: the UUID's 36 characters.
    :returns: 32 bytes.
    """
    check_key_name(name)
    check.identifier("migration_id", migration_id)
    return sha256(b"sv2m-" + name.lower().encode() + migration_id.encode() + key).digest()


def check_commitment(name: str, migration_id: str, key: bytes, expected: bytes) -> None:
    """Whether a key is the one that the Envelope commits to.

    :raises IntegrityError: it is not.
    """
    if not compare_digest(commitment(name, migration_id, key), expected):
        raise errors.IntegrityError(f"{name} is not the key that the Envelope commits to")


def _oaep(context_digest: bytes) -> padding.OAEP:
    check.octets("context_digest", context_digest, check.SHA256_BYTES)
    return padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=context_digest)


def _recipient(recipient_spki: bytes) -> rsa.RSAPublicKey:
    try:
        key = load_der_public_key(recipient_spki)
    except Exception as error:  # cryptography raises several kinds for what is no key
        raise errors.IntegrityError("ekB is no public key") from error
    if (
        not isinstance(key, rsa.RSAPublicKey)
        or key.key_size not in (EPHEMERAL_BITS, MAX_EPHEMERAL_BITS)
        or key.public_numbers().e != _EXPONENT
    ):
        raise errors.IntegrityError(
            f"ekB is not RSA of {EPHEMERAL_BITS} or {MAX_EPHEMERAL_BITS} bits with exponent {_EXPONENT}"
        )
    return key
