# SPDX-License-Identifier: Apache-2.0
"""Certificate revocation lists (RFC 5280, sections 5 and 6.3): fetched, checked, kept until they are stale.

Where nothing is known about revocation the answer is no. A URL that a peer's certificate names is fetched
only when its host is among those that the operator named: otherwise a peer could make this cloud call
whomever it likes.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from oslo_log import log

from sv2m import errors
from sv2m.cmm.ports import Fetch
from sv2m.evidence.revocation import check_list

LOG = log.getLogger(__name__)

#: Bytes of the largest list that is read: about 200,000 entries.
MAX_CRL = 8 * 1024 * 1024
_REMEDY = (
    "Check that the CA's revocation list can be fetched: [cmm] crl_url, or [cmm] crl_hosts and the "
    "certificate's distribution point."
)


@dataclass(frozen=True)
class _Kept:
    crl: x509.CertificateRevocationList
    fetched: float


class RevocationLists:
    """The lists of the CAs, by the URL they came from.

    :param urls: fetched for every certificate.
    :param hosts: lower case; where distribution points that certificates name may lie.
    :param max_age: seconds after which a list is fetched again; when that fails the kept one serves until
        nextUpdate.
    """

    def __init__(
        self,
        fetch: Fetch,
        urls: Sequence[str],
        hosts: Collection[str],
        max_age: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._urls = tuple(urls)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._max_age = max_age
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def check(self, path: Sequence[x509.Certificate], now: datetime) -> None:
        """That no certificate of a validated path is revoked; the trust anchor is the agreement's affair.

        :param path: from the leaf to the anchor.
        :raises sv2m.errors.InvalidCertificate: one is revoked.
        :raises sv2m.errors.HostError: code ``revocation-unknown``: no current list of its issuer can be had.
        """
        for certificate, issuer in itertools.pairwise(path):
            crl = self._current(certificate, issuer, now)
            # 6.3.3 (i), (j).
            entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None:
                raise errors.InvalidCertificate(
                    f"certificate {certificate.serial_number:x} was revoked on "
                    f"{entry.revocation_date_utc:%Y-%m-%d %H:%M} UTC"
                )

    def all(self) -> list[bytes]:
        """The lists that are kept now (DER), as evidence of what was known."""
        with self._lock:
            return [kept.crl.public_bytes(Encoding.DER) for kept in self._kept.values()]

    def _current(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
    ) -> x509.CertificateRevocationList:
        why = []
        for url in (*self._urls, *self._points(certificate)):
            try:
                crl = self._list(url, issuer, now)
                check_list(crl, issuer, now)
            except errors.SV2MError as error:
                why.append(f"{url}: {error}")
                continue
            return crl
        raise errors.HostError(
            f"whether certificate {certificate.serial_number:x} is revoked cannot be known: "
            + ("; ".join(why) if why else "no revocation list is configured"),
            code="revocation-unknown",
            remedy=_REMEDY,
        )

    def _points(self, certificate: x509.Certificate) -> list[str]:
        """4.2.1.13: the URLs that a certificate names, as far as the operator allows their hosts."""
        try:
            points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        except (x509.ExtensionNotFound, ValueError):
            return []
        named = [
            name.value
            for point in points
            for name in point.full_name or ()
            if isinstance(name, x509.UniformResourceIdentifier)
        ]
        return [url for url in named if url not in self._urls and self._allowed(url)]

    def _allowed(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            return parts.scheme in {"http", "https"} and (parts.hostname or "").lower() in self._hosts
        except ValueError:
            return False

    def _list(self, url: str, issuer: x509.Certificate, now: datetime) -> x509.CertificateRevocationList:
        with self._lock:
            kept = self._kept.get(url)
        if kept is not None and self._clock() - kept.fetched < self._max_age:
            return kept.crl
        try:
            body = self._fetch(url, MAX_CRL)
            crl = _parse(body)
            # Before it is kept: lists come by plain HTTP, and what anybody put there must neither take the place
            # of a good list nor become evidence.
            check_list(crl, issuer, now)
        except errors.SV2MError as error:
            if kept is None:
                raise
            LOG.warning("The revocation list at %s could not be fetched again: %s", url, error)
            return kept.crl
        with self._lock:
            self._kept[url] = _Kept(crl, self._clock())
        return crl


def _parse(body: bytes) -> x509.CertificateRevocationList:
    try:
        if body.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_crl(body)
        return x509.load_der_x509_crl(body)
    except (ValueError, x509.InvalidVersion) as error:
        raise errors.HostError("it is not a revocation list") from error
