# SPDX-License-Identifier: Apache-2.0
"""Certificates in PEM (RFC 7468), as people give them: nothing but certificates is ever taken from what they give.

A file of certificates often has its private key beside them. A key that is given is refused, not skipped: only then
does its owner learn that it was nearly sent. No error quotes what it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors

Certificates = list[x509.Certificate]
#: Bytes of the largest file of certificates that is read.
MAX_BYTES = 64 * 1024
_LABEL = re.compile(rb"-----BEGIN ([^\r\n]*?)-----")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
#: How DER of this size begins: SEQUENCE, with its length in two bytes.
_DER = b"\x30\x82"


class NotCertificates(errors.LocalError):
    """Something else than certificates in PEM."""

    code = "not-certificates"
    remedy = "Give a PEM file of certificates, and of nothing else."


def certificates(given: str | bytes, where: str) -> Certificates:
    """The certificates that ``given`` consists of; text between them is ignored, as in what ``openssl -text`` prints.

    :param where: the field, option or file that it comes from, for the message.
    :raises sv2m.errors.PrivateKeyGiven: there is a private key.
    :raises NotCertificates: there is anything else, or no certificate.
    """
    text = given.encode("utf-8", "replace") if isinstance(given, str) else given
    if len(text) > MAX_BYTES:
        raise NotCertificates(f"{where} is larger than {MAX_BYTES} bytes")
    errors.refuse_private_key(text, where)
    labels = _LABEL.findall(text)
    if not labels and text.startswith(_DER):
        raise NotCertificates(
            f"{where} is binary (DER or PKCS #12), not PEM",
            remedy="Convert it (openssl x509 -inform der), and give the PEM file.",
        )
    if any(label != b"CERTIFICATE" for label in labels):
        raise NotCertificates(f"{where} holds something that is not labelled CERTIFICATE")
    blocks = _CERTIFICATE.findall(text)
    if not blocks:
        raise NotCertificates(f"{where} holds no certificate in PEM")
    if len(blocks) != len(labels):
        raise NotCertificates(f"{where} holds a certificate without its end")
    return [_certificate(block, where) for block in blocks]


def _certificate(block: bytes, where: str) -> x509.Certificate:
    try:
        found = x509.load_pem_x509_certificate(block)
        # Names are parsed only when they are looked at; a name of a wrong type is a TypeError.
        _ = found.subject, found.issuer
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise NotCertificates(f"{where} holds a certificate that cannot be read") from error
    return found


def encode(given: Iterable[x509.Certificate]) -> str:
    """Certificates in PEM, each once, in the only form that is stored and sent: what stood around them is left out."""
    return "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in dict.fromkeys(given))


def kept(given: str) -> str:
    """The certificates of what was stored before it was looked at, in PEM; nothing else of it is ever shown."""
    found = []
    for block in _CERTIFICATE.findall(given.encode("utf-8", "replace")):
        with suppress(NotCertificates):
            found.append(_certificate(block, "it"))
    return encode(found)
