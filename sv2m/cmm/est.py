# SPDX-License-Identifier: Apache-2.0
"""Enrolment over Secure Transport (RFC 7030), the three operations that a cloud needs.

The server is authenticated by TLS against the configured trust anchor (3.3.1), the cloud by HTTP basic
authentication (3.2.3) inside it; the request itself proves possession of the key (PKCS#10's signature).
"""

from __future__ import annotations

import base64
import binascii

import requests
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509 import Certificate, InvalidVersion

from sv2m import errors, exchange
from sv2m.cmm.ports import Issued

#: Bytes of the largest answer that is read. A chain of P-384 certificates is a few KiB.
MAX_ANSWER = 256 * 1024


class EstClient:
    """The CA's EST server.

    :param url: up to and with ``/.well-known/est`` or ``/.well-known/est/LABEL``.
    :param ca_file: PEM file of the CA that vouches for the server; None takes the system's.
    :param timeout: seconds for a whole answer.
    """

    def __init__(
        self, url: str, username: str | None, password: str | None, ca_file: str | None, timeout: float
    ) -> None:
        self._url = url.rstrip("/")
        self._auth = (username, password or "") if username else None
        self._verify: str | bool = ca_file or True
        self._timeout = timeout

    def cacerts(self) -> Issued:
        """RFC 7030, 4.1: the CA's certificates."""
        return self._ask("GET", "cacerts", None)

    def simpleenroll(self, csr_der: bytes) -> Issued:
        """RFC 7030, 4.2.1: the certificate for a request.

        :raises sv2m.errors.ConfigurationError: the CA does not accept our name and password.
        :raises sv2m.errors.HostError: the CA does not answer, refuses, or wants a human to look first.
        """
        return self._ask("POST", "simpleenroll", csr_der)

    def simplereenroll(self, csr_der: bytes) -> Issued:
        """RFC 7030, 4.2.2: the next certificate for the same name, here with a new key."""
        return self._ask("POST", "simplereenroll", csr_der)

    def _ask(self, method: str, operation: str, csr_der: bytes | None) -> Issued:
        try:
            reply = exchange.ask(
                method,
                f"{self._url}/{operation}",
                within=self._timeout,
                limit=MAX_ANSWER,
                verify=self._verify,
                # The password is for the server that was configured, not for where it sends us.
                auth=self._auth,
                data=base64.encodebytes(csr_der) if csr_der is not None else None,
                headers={"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
                if csr_der is not None
                else {"Accept": "application/pkcs7-mime"},
            )
        except requests.exceptions.SSLError as error:
            raise errors.ConfigurationError(
                f"the EST server at {self._url} is not vouched for by [cmm] est_cafile: {error}"
            ) from error
        except requests.RequestException as error:
            raise errors.ServiceUnavailable(
                f"the EST server at {self._url} does not answer: {type(error).__name__}"
            ) from error
        return self._read(operation, reply)

    def _read(self, operation: str, answer: exchange.Reply) -> Issued:
        if answer.status == 401:
            raise errors.ConfigurationError(
                f"the EST server at {self._url} does not accept [cmm] est_username and est_password"
            )
        if answer.status == 202:
            # RFC 7030, 4.2.3: manual approval; the same request may be sent again later.
            raise errors.HostError(
                f"the CA has taken the request and wants to be asked again in "
                f"{answer.headers.get('Retry-After', 'some')} s",
                code="enrolment-pending",
                remedy="Wait for the CA's approval, then enrol again.",
            )
        if answer.status != 200:
            said = answer.body[:200].decode("ascii", "replace").strip()
            raise errors.HostError(f"the EST server refuses {operation} (HTTP {answer.status}): {said}")
        if len(answer.body) > MAX_ANSWER:
            raise errors.HostError(
                f"the EST server's answer to {operation} is larger than {MAX_ANSWER} bytes"
            )
        return Issued(_certificates(operation, answer.body))


def _certificates(operation: str, body: bytes) -> list[Certificate]:
    """RFC 7030, 4.1.3 and 4.2.3: base64 of a certs-only PKCS#7 message."""
    try:
        certificates = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
        # Names are parsed only when they are looked at; a name of a wrong type is a TypeError.
        for one in certificates:
            _ = one.subject, one.issuer
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm, InvalidVersion) as error:
        raise errors.HostError(
            f"the EST server's answer to {operation} is not a certs-only PKCS#7 message in base64"
        ) from error
    return certificates
