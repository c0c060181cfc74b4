# SPDX-License-Identifier: Apache-2.0
"""Trusted timestamps (RFC 3161): what to ask an authority, and what its answer proves.

The digest that is stamped is SHA-512 of the bytes, so that ``openssl ts -verify -data FILE`` checks an answer against
the file itself. An answer is judged at the time that it states, not at today's: it stays good when the authority's
certificate has ended.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import rfc3161_client as rfc3161
from cryptography import x509

from sv2m import errors
from sv2m.evidence import pem, token

#: Bytes of the largest answer that is read: a token with a chain of certificates has some 6 KiB.
MAX_RESPONSE = 64 * 1024
#: Media types of RFC 3161, section 3.4.
QUERY_TYPE, REPLY_TYPE = "application/timestamp-query", "application/timestamp-reply"
_MALFORMED = "the authority's answer is not a TimeStampResp (RFC 3161)"


@dataclass(frozen=True)
class Stamp:
    """A good timestamp: these bytes existed at that time.

    :param at: the authority's time, UTC.
    :param certificates: what the answer carries, DER.
    """

    at: datetime
    serial: int
    policy: str
    certificates: tuple[bytes, ...]


def anchors(given: bytes, where: str = "the file of root certificates") -> list[x509.Certificate]:
    """The root certificates of a PEM file.

    :param where: which file, for the message.
    :raises sv2m.errors.ConfigurationError: there is none, or something else.
    """
    try:
        return pem.certificates(given, where)
    except errors.LocalError as error:
        raise errors.ConfigurationError(str(error)) from error


@dataclass(frozen=True)
class Query:
    """One question to an authority.

    :param data: what is to be stamped.
    :param nonce: fresh, so that an old answer is none to this question.
    :param body: the TimeStampReq, DER; it asks for the authority's certificate.
    """

    data: bytes
    nonce: int | None
    body: bytes

    @classmethod
    def of(cls, data: bytes) -> Query:
        """Ask for a timestamp of these bytes; only their digest is told."""
        builder = rfc3161.TimestampRequestBuilder().data(data).hash_algorithm(rfc3161.HashAlgorithm.SHA512)
        asked = builder.nonce(nonce=True).cert_request(cert_request=True).build()
        return cls(data, asked.nonce, asked.as_bytes())

    def check(self, response: bytes, roots: Sequence[x509.Certificate], policy: str | None = None) -> Stamp:
        """Take the authority's answer to this question.

        :param policy: the only policy (OID) under which it may be given; None takes any.
        :raises sv2m.errors.HostError: it is none, and why.
        """
        if self.nonce is None:
            raise errors.HostError("a question without a nonce has no answer of its own", code="timestamp-refused")
        return _verified(response, self.data, roots, policy, self.nonce)


def verify(response: bytes, data: bytes, roots: Sequence[x509.Certificate], policy: str | None = None) -> Stamp:
    """Verify a kept timestamp, years later.

    :param data: the bytes that it is said to be of.
    :param roots: the only certificates that may vouch for the authority.
    :raises sv2m.errors.HostError: it does not hold, and why.
    """
    return _verified(response, data, roots, policy, None)


def _verified(
    response: bytes, data: bytes, roots: Sequence[x509.Certificate], policy: str | None, nonce: int | None
) -> Stamp:
    if len(response) > MAX_RESPONSE:
        raise errors.HostError(f"the authority's answer has more than {MAX_RESPONSE} bytes", code="timestamp-refused")
    try:
        read = rfc3161.decode_timestamp_response(response)
        if rfc3161.PKIStatus(read.status) != rfc3161.PKIStatus.GRANTED:
            raise errors.HostError(_refusal(read), code="timestamp-refused")
        if read.as_bytes() != response:
            # DER has one form; whatever comes after it, nobody has signed.
            raise errors.HostError(_MALFORMED, code="timestamp-refused")
        builder = rfc3161.VerifierBuilder(
            policy_id=None if policy is None else x509.ObjectIdentifier(policy), roots=list(roots), nonce=nonce
        )
        builder.build().verify_message(read, data)
        _check_form(response, read.signed_data.certificates)
        info = read.tst_info
        return Stamp(
            at=info.gen_time.astimezone(UTC),
            serial=info.serial_number,
            policy=info.policy.dotted_string,
            certificates=tuple(sorted(read.signed_data.certificates)),
        )
    except rfc3161.VerificationError as error:
        raise errors.HostError(f"the timestamp does not hold: {_why(error)}", code="timestamp-refused") from error
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise errors.HostError(_MALFORMED, code="timestamp-refused") from error


def _why(error: rfc3161.VerificationError) -> str:
    """In words: of a path that leads nowhere the library says what OpenSSL's error queue holds."""
    said = re.search('"Verify error: ?([^"]*)"', str(error))
    if said is None:
        return str(error)
    return f"the roots that are given do not vouch for its authority ({said[1]})"


def _check_form(response: bytes, certificates: Collection[bytes]) -> None:
    try:
        token.check(response, certificates)
    except (ValueError, IndexError, TypeError) as error:
        # What is not even made as a token is one with too few or too many parts.
        raise errors.HostError(f"the timestamp does not hold: {error}", code="timestamp-refused") from error


def _refusal(read: rfc3161.TimeStampResponse) -> str:
    said = "; ".join(str(text)[:200] for text in read.status_string[:3])
    return f"the authority refused: {said or 'it does not say why'}"
