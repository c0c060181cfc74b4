# SPDX-License-Identifier: Apache-2.0
"""TLS with a peer's gateway: what is asked of its certificate, and what to say of one that is not good."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

#: OpenSSL's numbers (X509_V_ERR_*, openssl/x509_vfy.h) -> whose certificate lacks what.
_LACKING: Final[Mapping[int, str]] = {
    7: "the server's certificate was not signed by the agreement's TLS CA of that name, but with another key",
    9: "the server's certificate, or one above it, is not valid yet: compare the clocks",
    10: "the server's certificate, or one above it, has ended",
    18: "the server's certificate signed itself, and is none of the agreement's TLS CAs",
    19: "the root that the server sent is none of the agreement's TLS CAs",
    20: "no certificate that the server sent was issued by one of the agreement's TLS CAs: it is another CA's, or the "
    "server sends its own without those between",
    24: "a certificate above the server's is not a CA's",
    62: "the server's certificate is not for the name in the agreement's url",
    64: "the server's certificate is not for the address in the agreement's url",
    79: "a certificate above the server's is not a CA's",
}


def context(ca_file: str) -> ssl.SSLContext:
    """TLS 1.3 to a server that the CAs of a file vouch for, and no other CA.

    The same with every Python: from 3.13 on its default asks more of the certificates' extensions, and lets a chain end
    at a CA of the file that is no root. An agreement that names the CA between, whose server sends only its own
    certificate, says all that is needed.
    """
    made = ssl.create_default_context(cafile=ca_file)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return made


def explain(error: BaseException) -> str:
    """Why there is no TLS: whose certificate lacks what, where it is that, and OpenSSL's own words."""
    found = _refusal(error)
    if found is None:
        return str(error)
    lacking = _LACKING.get(found.verify_code, "the server's certificate, or one above it, is not good")
    return f"{lacking} ({found.verify_message})"


def _refusal(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """What OpenSSL said, in the errors that urllib3 and requests have put around it."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        inside = [one for one in (*error.args, getattr(error, "reason", None)) if isinstance(one, BaseException)]
        error = inside[0] if inside else error.__cause__ or error.__context__
    return error
