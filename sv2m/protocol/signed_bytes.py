# SPDX-License-Identifier: Apache-2.0
"""The signature of a large message, verified over its bytes before a parser makes objects of them.

A message is its own canonical form, and so is the ds:Signature at its end. So what was hashed and signed can be cut out
of the bytes, and whoever has no key of the sender's makes nobody parse megabytes of elements: a copied signature in
front of them costs one digest. It only refuses; what it lets through is verified as every message is (signature.py).
"""

from __future__ import annotations

import re
from base64 import b64decode
from hashlib import sha384
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature as NotSigned
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sv2m import errors
from sv2m.protocol.signing_key import P384_BYTES
from sv2m.protocol.wire.element import DS

_BEGIN: Final = f'<ds:Signature xmlns:ds="{DS}">'.encode()
#: Its parts, and what the message ends with. A signature has some KiB, of which the certificate is most.
_FORM: Final = re.compile(
    re.escape(_BEGIN) + rb"<ds:SignedInfo>(?P<info>.{1,4096}?)</ds:SignedInfo>"
    rb"<ds:SignatureValue>(?P<value>[A-Za-z0-9+/=]{1,1500})</ds:SignatureValue>.{1,9000}</ds:Signature>",
    re.DOTALL,
)
_DIGEST: Final = re.compile(rb"<ds:DigestValue>([A-Za-z0-9+/]{64})</ds:DigestValue>")


def check(document: bytes, certificate: x509.Certificate) -> None:
    """That the certificate's key has signed these bytes.

    :raises InvalidSignature: it has not, or the document does not end with a signature.
    """
    begin, end = document.rfind(_BEGIN), document.rfind(b"</sv2m:")
    form = _FORM.fullmatch(document, begin, end) if 0 <= begin < end else None
    digests = _DIGEST.findall(form["info"]) if form else []
    if form is None or len(digests) != 1:
        raise errors.InvalidSignature("the document does not end with its one signature")
    digest = sha384(memoryview(document)[:begin])
    digest.update(memoryview(document)[end:])
    if b64decode(digests[0]) != digest.digest():
        raise errors.InvalidSignature("the signature is over another document")
    # In its canonical form ds:SignedInfo declares the prefix that ds:Signature declares around it.
    signed = f'<ds:SignedInfo xmlns:ds="{DS}">'.encode() + form["info"] + b"</ds:SignedInfo>"
    try:
        _verify(certificate, b64decode(form["value"]), signed)
    except (NotSigned, ValueError) as error:
        raise errors.InvalidSignature("the signature does not verify") from error


def _verify(certificate: x509.Certificate, value: bytes, signed: bytes) -> None:
    key, algorithm = certificate.public_key(), hashes.SHA384()
    if isinstance(key, ec.EllipticCurvePublicKey):
        r, s = value[:P384_BYTES], value[P384_BYTES:]
        key.verify(encode_dss_signature(int.from_bytes(r), int.from_bytes(s)), signed, ec.ECDSA(algorithm))
    elif isinstance(key, rsa.RSAPublicKey):
        form = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
        key.verify(value, signed, form, algorithm)
    else:
        raise ValueError("a key that signs no message")
