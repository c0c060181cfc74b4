# SPDX-License-Identifier: Apache-2.0
"""Is this the evidence certificate of that cloud? Path, name, use and validity (RFC 5280, section 6).

Revocation is :mod:`sv2m.evidence.revocation`'s. The path is built and checked by cryptography's verifier; what an
evidence certificate is, beyond a path, stands here as its extension policy. Section numbers are RFC 5280's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from sv2m import errors
from sv2m.evidence import pem

#: Leaf, and at most two CAs between it and the trust anchor.
MAX_CHAIN = 3
MAX_INTERMEDIATES = 2
#: Bytes; an evidence certificate is about 1 KiB.
MAX_CERTIFICATE = 16 * 1024
#: id-kp-documentSigning (RFC 9336): signing what people rely on.
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
_MIN_RSA_BITS = 3072
#: By how much the clock of the CA, or of the cloud that shows a certificate, may be ahead of ours.
CLOCK_SKEW = timedelta(minutes=5)
_MALFORMED = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_ANY = verification.Criticality.AGNOSTIC


def load_chain(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """Parse a chain that a peer sent, leaf first.

    :raises sv2m.errors.InvalidCertificate: it is empty, too long, too large, or not certificates.
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise errors.InvalidCertificate(f"a chain has 1 to {MAX_CHAIN} certificates, not {len(chain)}")
    if any(len(der) > MAX_CERTIFICATE for der in chain):
        raise errors.InvalidCertificate(f"a certificate is larger than {MAX_CERTIFICATE} bytes")
    try:
        return [x509.load_der_x509_certificate(der) for der in chain]
    except (ValueError, x509.InvalidVersion) as error:
        raise errors.InvalidCertificate("the chain holds something that is not a certificate") from error


def load_anchors(ca_pem: str) -> list[x509.Certificate]:
    """Parse an agreement's CA certificates.

    :raises sv2m.errors.ConfigurationError: there is none, or something else than a CA's is among them.
    """
    try:
        anchors = pem.certificates(ca_pem, "the CA of the agreement")
        check_anchors(anchors, "the CA of the agreement")
    except errors.LocalError as error:
        raise errors.ConfigurationError(str(error), remedy=error.remedy) from error
    return anchors


class NotCA(errors.LocalError):
    """A certificate that is to be trusted is not a CA's."""

    code = "not-a-ca"
    remedy = (
        "Give only the CA's certificate, without those that it issued. What is trusted for TLS is named apart "
        "(--tls-ca-file)."
    )


def check_anchors(anchors: Sequence[x509.Certificate], where: str) -> None:
    """That each certificate to be trusted is a CA's: a path ends at any of them, and of the last nobody asks further.

    With a cloud's own certificate among them its path would be that certificate alone, and no revocation list would
    ever be asked.

    :param where: the field, option or file that they come from, for the message.
    :raises NotCA: one is not.
    """
    for one in anchors:
        if not _is_ca(one):
            raise NotCA(f"{where} holds certificate {one.serial_number:x} ({_called(one)}), which is not a CA's")


def _is_ca(certificate: x509.Certificate) -> bool:
    # 4.2.1.9.
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *_MALFORMED):
        return False


def _called(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string()
    except _MALFORMED:
        return "without a name"


def validate(
    chain: Sequence[x509.Certificate], cloud_name: str, anchors: Sequence[x509.Certificate], now: datetime
) -> list[x509.Certificate]:
    """Validate a peer's chain.

    :param chain: leaf first; the others in any order.
    :param cloud_name: the peer's name in the agreement.
    :param anchors: the only CAs that may vouch for it.
    :returns: the path, from the leaf to the trust anchor.
    :raises sv2m.errors.InvalidCertificate: naming what is wrong.
    """
    leaf = chain[0]
    _check_key(leaf)
    # 6.1.1 (d): trust comes from the agreement alone, never from what the peer sent.
    policy = (
        verification.PolicyBuilder()
        .store(verification.Store(list(anchors)))
        # 6.1.3 (a)(2): every certificate of the path is valid at this time.
        .time(_lenient(chain, now))
        .max_chain_depth(MAX_INTERMEDIATES)
        # 6.1.4 (k)-(n), 6.1.3 (b)-(c), 4.2: of CAs basicConstraints, pathLen, keyCertSign, name constraints;
        # of all, no critical extension that is not understood.
        .extension_policies(
            ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(), ee_policy=_evidence(cloud_name)
        )
    )
    try:
        # 6.1.3 (a)(1), (a)(4): signatures and names chain up to an anchor.
        whole = list(policy.build_client_verifier().verify(leaf, list(chain[1:])).chain)
    except verification.VerificationError as error:
        raise errors.InvalidCertificate(_explain(cloud_name, leaf, now, error)) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # Names, times and extensions are parsed only when they are looked at; a name of a wrong type is a TypeError.
        raise errors.InvalidCertificate(f"a certificate of {cloud_name} is malformed") from error
    if len(whole) == 1:
        # Of a certificate that is trusted by itself nobody would be asked whether it was revoked.
        raise errors.InvalidCertificate(f"certificate {leaf.serial_number:x} of {cloud_name} has no CA above it")
    return whole


def _lenient(chain: Sequence[x509.Certificate], now: datetime) -> datetime:
    """The time at which a path is looked at: now, or the near future in which the newest certificate begins."""
    try:
        begin = [one.not_valid_before_utc for one in chain]
    except ValueError:
        return now
    return max([now, *(at for at in begin if now < at <= now + CLOCK_SKEW)])


def lead(chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The certificates of a path, found by names and signatures alone: nothing of them is judged.

    For what is asked of a path that was validated once, whatever became since of clocks, rules and certificates.

    :param chain: leaf first; the others in any order.
    :returns: from the leaf towards an anchor, as far as it goes.
    """
    whole = [chain[0]]
    while len(whole) <= MAX_CHAIN and whole[-1] not in anchors:
        issuer = next((one for one in (*anchors, *chain[1:]) if one not in whole and _issued(one, whole[-1])), None)
        if issuer is None:
            break
        whole.append(issuer)
    return whole


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_MALFORMED):
        return False
    return True


def first_to_end(whole: Sequence[x509.Certificate]) -> x509.Certificate:
    """Of a path the certificate that ends first, and the path with it."""
    return min(whole, key=lambda one: one.not_valid_after_utc)


def _evidence(cloud_name: str) -> verification.ExtensionPolicy:
    """What the leaf must be."""

    def name(_: verification.Policy, __: x509.Certificate, names: x509.SubjectAlternativeName) -> None:
        # 4.2.1.6. Exactly this one: a certificate that speaks for several clouds says nothing about which one
        # signed.
        if list(names) != [x509.DNSName(cloud_name)]:
            raise ValueError("name")

    def use(_: verification.Policy, __: x509.Certificate, usage: x509.KeyUsage) -> None:
        # 4.2.1.3. A key that may sign certificates or agree on keys is not an evidence key.
        if not (usage.digital_signature and usage.content_commitment) or usage.key_cert_sign or usage.crl_sign:
            raise ValueError("use")

    def extended(_: verification.Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
        # 4.2.1.12: when it is there, the certificate is for these purposes only.
        allowed = {DOCUMENT_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
        if usage is not None and not allowed & set(usage):
            raise ValueError("use")

    def not_a_ca(_: verification.Policy, __: x509.Certificate, constraints: x509.BasicConstraints | None) -> None:
        # 4.2.1.9.
        if constraints is not None and constraints.ca:
            raise ValueError("ca")

    return (
        verification.ExtensionPolicy.permit_all()
        .require_present(x509.SubjectAlternativeName, _ANY, name)
        .require_present(x509.KeyUsage, _ANY, use)
        .may_be_present(x509.ExtendedKeyUsage, _ANY, extended)
        .may_be_present(x509.BasicConstraints, _ANY, not_a_ca)
    )


def _check_key(leaf: x509.Certificate) -> None:
    """The two kinds of key with which messages are signed."""
    try:
        key: object = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None  # of a kind or form that nobody knows
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1):
        return
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        return
    raise errors.InvalidCertificate(
        f"the key of an evidence certificate is ECDSA P-384, or RSA of at least {_MIN_RSA_BITS} bits"
    )


def _explain(cloud_name: str, leaf: x509.Certificate, now: datetime, error: Exception) -> str:
    """What an operator needs to read; the verifier's own words are for those who know it."""
    serial = f"certificate {leaf.serial_number:x}"
    if now > leaf.not_valid_after_utc:
        return f"{serial} of {cloud_name} ended on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if now < leaf.not_valid_before_utc:
        return f"{serial} of {cloud_name} begins on {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    said = str(error)
    if "ValueError: name" in said:
        return f"{serial} is not for {cloud_name}: its only alternative name must be that DNS name"
    if "ValueError: use" in said:
        return f"{serial} is not for evidence: it must allow digitalSignature and contentCommitment, and no more"
    if "ValueError: ca" in said:
        return f"{serial} is a CA's own, not a cloud's"
    # That there is no issuer is all that these words say.
    why = "" if "candidates exhausted" in said else f": {said.splitlines()[0][:200]}"
    return f"{serial} does not lead to a CA that is trusted for {cloud_name}{why}"
