# SPDX-License-Identifier: Apache-2.0
"""What a timestamp must be beside signed: RFC 3161, section 2.4.2, and RFC 5816; and strong enough for years.

rfc3161-client verifies the signature, the path and what was asked. It takes tokens that ``openssl ts -verify`` and
other programs refuse, and algorithms that are weak today; whoever checks the evidence by other means must find the
same. Section numbers are RFC 3161's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m.evidence import der
from sv2m.evidence.der import Value


def _oid(text: str) -> bytes:
    """An object identifier's content in DER, X.690, 8.19."""
    first, second, *rest = map(int, text.split("."))
    content = bytes([40 * first + second])
    for number in rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.insert(0, number & 0x7F | 0x80)
        content += bytes(digits)
    return content


_TST_INFO = _oid("1.2.840.113549.1.9.16.1.4")
_CONTENT_TYPE = _oid("1.2.840.113549.1.9.3")
#: signingCertificate (RFC 2634) and signingCertificateV2 (RFC 5035), and by which digest each names a certificate.
_ESS, _ESS_V2 = _oid("1.2.840.113549.1.9.16.2.12"), _oid("1.2.840.113549.1.9.16.2.47")
#: SHA-1, which names and proves nothing, is a certificate's name in ESSCertID; the others are what is strong enough.
_DIGESTS = {
    _oid("2.16.840.1.101.3.4.2.1"): "sha256",
    _oid("2.16.840.1.101.3.4.2.2"): "sha384",
    _oid("2.16.840.1.101.3.4.2.3"): "sha512",
}
_SHA512 = _oid("2.16.840.1.101.3.4.2.3")
#: 128 bits of strength (NIST SP 800-57).
_MIN_RSA_BITS, _MIN_EC_BITS = 3072, 256


def check(response: bytes, certificates: Collection[bytes]) -> None:
    """Check a TimeStampResp whose signature is good.

    :param certificates: those that it carries, DER.
    :raises ValueError: why it is not taken.
    """
    _, token = der.values(response)[0].parts()
    _, content = token.parts()
    (signed_data,) = content.parts(der.context(0))
    _, _, encapsulated, *_, signers = signed_data.parts()
    content_type, info = encapsulated.parts()
    # 2.4.2: the one content type, and the one signer.
    if content_type.content != _TST_INFO:
        raise ValueError("what is signed is not a TSTInfo")
    (octets,) = info.parts(der.context(0))
    _check_info(der.values(octets.content)[0])
    all_signers = signers.parts(der.SET)
    if len(all_signers) != 1:
        raise ValueError("it has not exactly one signer")
    _check_signer(all_signers[0], certificates)


def _check_info(info: Value) -> None:
    """2.4.2: version 1; the digest that was asked for; no extension that must not be passed over."""
    version, _, imprint, _, _, *optional = info.parts()
    if version.content != b"\x01":
        raise ValueError("its TSTInfo is not of version 1")
    algorithm, _ = imprint.parts()
    if algorithm.parts()[0].content != _SHA512:
        raise ValueError("it is not of a SHA-512 digest")
    for one in optional:
        if one.tag == der.context(1) and any(_is_critical(extension) for extension in one.parts(der.context(1))):
            raise ValueError("it has a critical extension, which narrows its meaning")


def _is_critical(extension: Value) -> bool:
    return any(part.tag == der.BOOLEAN and part.content != b"\x00" for part in extension.parts())


def _check_signer(signer: Value, certificates: Collection[bytes]) -> None:
    _, named, digest, attributes, *_ = signer.parts()
    if digest.parts()[0].content not in _DIGESTS:
        raise ValueError("its signer uses a weaker digest than SHA-256")
    if attributes.tag != der.context(0):
        raise ValueError("it has no signed attributes")
    found = {kind.content: values for kind, values in (one.parts() for one in attributes.parts(der.context(0)))}
    if _CONTENT_TYPE not in found or found[_CONTENT_TYPE].parts(der.SET)[0].content != _TST_INFO:
        raise ValueError("its signer says that it is not a TSTInfo")
    certificate = _certificate(named, certificates)
    # 2.4.2, RFC 5816: the signer names its certificate under its own signature.
    names = [_names(found[kind], kind, certificate) for kind in (_ESS, _ESS_V2) if kind in found]
    if not names or not all(names):
        raise ValueError("its signer does not name its certificate (ESSCertID)")
    if not _is_strong(certificate):
        raise ValueError("its signer's key is not ECDSA of 256 bits or RSA of 3072, or more")


def _certificate(named: Value, certificates: Collection[bytes]) -> x509.Certificate:
    """The signer's own: by issuer and serial number, or by its key's identifier (RFC 5652, 5.3)."""
    loaded = [x509.load_der_x509_certificate(one) for one in certificates]
    if named.tag == der.SEQUENCE:
        of = [one for one in loaded if _issued(one) == named.parts()]
    else:
        of = [one for one in loaded if _identifier(one) == named.content]
    if len(of) != 1:
        raise ValueError("it does not carry its signer's certificate")
    return of[0]


def _issued(certificate: x509.Certificate) -> list[Value]:
    """Issuer and serial number, as the certificate has them."""
    parts = der.values(certificate.tbs_certificate_bytes)[0].parts()
    serial, _, issuer, *_ = parts[1:] if parts[0].tag == der.context(0) else parts
    return [issuer, serial]


def _identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def _names(values: Value, kind: bytes, certificate: x509.Certificate) -> bool:
    """Whether the first ESSCertID, or ESSCertIDv2, is this certificate's."""
    (attribute,) = values.parts(der.SET)
    first, *rest = attribute.parts()[0].parts()[0].parts()
    algorithm = "sha1" if kind == _ESS else "sha256"
    if first.tag == der.SEQUENCE:
        # Only ESSCertIDv2 has it, where it is not SHA-256.
        algorithm = _DIGESTS.get(first.parts()[0].content, "")
        first = rest[0]
    encoded = certificate.public_bytes(Encoding.DER)
    return bool(algorithm) and hashlib.new(algorithm, encoded).digest() == first.content


def _is_strong(certificate: x509.Certificate) -> bool:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.key_size >= _MIN_EC_BITS
    return isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS
