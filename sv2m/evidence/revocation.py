# SPDX-License-Identifier: Apache-2.0
"""Does a certificate revocation list speak for this issuer, at this time? (RFC 5280, sections 5 and 6.3)"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from sv2m import errors
from sv2m.evidence.path import CLOCK_SKEW

#: Of one folder: those that a cloud had of every CA of its agreements.
_MAX_LISTS = 256
_MALFORMED = (ValueError, TypeError, UnsupportedAlgorithm)
#: 5.3.1: somebody else may have the key. Of every other reason the holder of the key is who it was.
_COMPROMISED = {
    x509.ReasonFlags.key_compromise,
    x509.ReasonFlags.ca_compromise,
    x509.ReasonFlags.aa_compromise,
}


def check_list(crl: x509.CertificateRevocationList, issuer: x509.Certificate, now: datetime) -> None:
    """That a list speaks for an issuer at a time. Section numbers are RFC 5280's.

    :raises sv2m.errors.HostError: why it does not.
    """
    try:
        _check_fields(crl, issuer, now)
    except (*_MALFORMED, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        # Names, times and extensions are parsed only when they are looked at; a name of a wrong type is a TypeError.
        raise errors.HostError("it is malformed") from error


def _check_fields(crl: x509.CertificateRevocationList, issuer: x509.Certificate, now: datetime) -> None:
    # 6.3.3 (b)(1): from the issuer of the certificate itself.
    if crl.issuer != issuer.subject:
        raise errors.HostError("it is another issuer's")
    # 6.3.3 (f): the issuer's key may sign lists.
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is not None and not usage.crl_sign:
        raise errors.HostError("its issuer may not sign revocation lists (cRLSign)")
    # 6.3.3 (g).
    if not is_signed_by(crl, issuer):
        raise errors.HostError("its signature does not verify")
    # 5.1.2.4, 5.1.2.5: a list without an end could be replayed for ever.
    if crl.next_update_utc is None:
        raise errors.HostError("it has no nextUpdate")
    if crl.next_update_utc <= now:
        raise errors.HostError(f"it ended on {crl.next_update_utc:%Y-%m-%d %H:%M} UTC")
    if crl.last_update_utc > now + CLOCK_SKEW:
        raise errors.HostError("it is from the future")
    # 5.2: none of the critical extensions there are (indirect lists, lists of some certificates or of changes
    # only) may be passed over, and none is needed here.
    critical = [one.oid.dotted_string for one in crl.extensions if one.critical]
    if critical:
        raise errors.HostError(f"it has critical extensions that narrow its meaning ({', '.join(critical)})")


def is_signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether the issuer's key has signed this list."""
    try:
        valid = crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # other keys are a TypeError
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False
    return bool(valid)


def is_signed_by_any(crl: x509.CertificateRevocationList, issuers: Iterable[x509.Certificate]) -> bool:
    """Whether one of these that bears the name of the list's issuer has signed it."""
    return any(is_of(crl, one) and is_signed_by(crl, one) for one in issuers)


def is_of(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Whether a list is said to be this issuer's."""
    try:
        return bool(crl.issuer == issuer.subject)
    except _MALFORMED:
        return False


def entry_of(
    certificate: x509.Certificate, crl: x509.CertificateRevocationList
) -> x509.RevokedCertificate | None:
    """What a list says of a certificate of its issuer; None: nothing."""
    return crl.get_revoked_certificate_by_serial_number(certificate.serial_number)


def is_compromise(entry: x509.RevokedCertificate) -> bool:
    """Whether a certificate was revoked because its key may be another's. Without a reason it was not (5.3.1)."""
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return False
    except (*_MALFORMED, x509.DuplicateExtension):
        # Nobody can read why: then people are to look.
        return True
    return reason in _COMPROMISED


def is_older(crl: x509.CertificateRevocationList, kept: x509.CertificateRevocationList) -> bool:
    """Whether a list was made before another one of the same issuer (5.1.2.4, 5.2.3).

    One that is older by either measure is: a CA numbers its lists in the order in which it makes them.
    """
    number, before = _number(crl), _number(kept)
    if number is not None and before is not None and number < before:
        return True
    return crl.last_update_utc < kept.last_update_utc


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (x509.ExtensionNotFound, x509.DuplicateExtension, *_MALFORMED):
        return None


def revoked_at(
    certificate: x509.Certificate, issuer: x509.Certificate, lists: Iterable[x509.CertificateRevocationList]
) -> datetime | None:
    """When a certificate was revoked, by any list that its issuer has signed, whenever that was; None: none names it.

    A list of years later says as much of that time as one of then, and more when the theft was noticed late.
    """
    found = []
    for one in lists:
        if not is_of(one, issuer) or not is_signed_by(one, issuer):
            continue
        try:
            entry = one.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None:
                found.append(entry.revocation_date_utc)
        except _MALFORMED:
            continue
    return min(found, default=None)


def load_lists(pem: bytes) -> list[x509.CertificateRevocationList]:
    """The lists of a PEM file.

    :raises sv2m.errors.InvalidCertificate: it holds something else.
    """
    end = b"-----END X509 CRL-----\n"
    *parts, rest = pem.split(end)
    if len(parts) > _MAX_LISTS:
        raise errors.InvalidCertificate(f"it holds more than {_MAX_LISTS} revocation lists")
    try:
        lists = [x509.load_pem_x509_crl(part + end) for part in parts]
    except (ValueError, x509.InvalidVersion) as error:
        raise errors.InvalidCertificate("it holds something that is not a revocation list") from error
    if rest.strip() or not lists:
        raise errors.InvalidCertificate("it holds something that is not a revocation list")
    return lists
