# SPDX-License-Identifier: Apache-2.0
"""Certificate revocation lists (RFC 5280, sections 5 and 6.3): fetched, checked, kept until they are stale.

Where nothing is known about revocation the answer is no, as long as a no costs nobody anything. A URL that a peer's
certificate names is fetched only when its host is among those that the operator named: otherwise a peer could make this
cloud call whomever it likes.
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
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from oslo_log import log

from sv2m import errors
from sv2m.cmm.ports import Fetch
from sv2m.evidence.revocation import check_list, entry_of, is_compromise, is_of, is_older, is_signed_by

LOG = log.getLogger(__name__)

#: Bytes of the largest list that is read: about 200,000 entries.
MAX_CRL = 8 * 1024 * 1024
#: Seconds for which a place that did not answer is left alone, while another list serves.
_LEFT_ALONE = 30.0
_REMEDY = (
    "Check that the CA's revocation list can be fetched: [cmm] crl_url, or [cmm] crl_hosts and the "
    "certificate's distribution point."
)


@dataclass(frozen=True)
class _Answer:
    """What a URL last answered, and when; of the list nothing is believed yet. None: no list, and why."""

    crl: x509.CertificateRevocationList | None
    why: str
    at: float


class RevocationLists:
    """The lists of the CAs.

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
        briefly: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._briefly = briefly or fetch
        self._urls = tuple(urls)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._max_age = max_age
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: dict[str, _Answer] = {}
        #: By issuer (its certificate's SHA-256): the newest list that it has signed, and that was good when it came.
        self._newest: dict[bytes, x509.CertificateRevocationList] = {}

    def check(self, path: Sequence[x509.Certificate], now: datetime) -> None:
        """That no certificate of a validated path is revoked; the trust anchor is the agreement's affair.

        :param path: from the leaf to the anchor.
        :raises sv2m.errors.InvalidCertificate: one is revoked.
        :raises sv2m.errors.HostError: code ``revocation-unknown``: no current list of its issuer can be had.
        """
        for certificate, issuer in itertools.pairwise(path):
            # 6.3.3 (i), (j).
            entry = entry_of(certificate, self._current(certificate, issuer, now))
            if entry is not None:
                raise errors.InvalidCertificate(
                    f"certificate {certificate.serial_number:x} was revoked on "
                    f"{entry.revocation_date_utc:%Y-%m-%d %H:%M} UTC"
                )

    def check_keys(self, path: Sequence[x509.Certificate], now: datetime) -> None:
        """That no list says of a key of a path that it is a thief's.

        For what is heard after the commit. An ordinary revocation says nothing about what was signed, and a list that
        cannot be had, or is past its nextUpdate, must not keep a server standing still. The other way round a list that
        has ended still tells of a theft: a stolen key stays stolen.

        :raises sv2m.errors.PeerKeyCompromised: one does.
        """
        for certificate, issuer in itertools.pairwise(path):
            for crl in self._signed(certificate, issuer, now):
                entry = entry_of(certificate, crl)
                if entry is not None and is_compromise(entry):
                    raise errors.PeerKeyCompromised(
                        f"certificate {certificate.serial_number:x} was revoked on "
                        f"{entry.revocation_date_utc:%Y-%m-%d %H:%M} UTC because its key was compromised"
                    )

    def all(self) -> list[bytes]:
        """The lists that are kept now (DER), as evidence of what was known."""
        with self._lock:
            return [crl.public_bytes(Encoding.DER) for crl in self._newest.values()]

    def _current(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
    ) -> x509.CertificateRevocationList:
        why = self._refresh(certificate, issuer, now)
        kept = self._kept(issuer)
        if kept is not None:
            try:
                check_list(kept, issuer, now)
            except errors.SV2MError as error:
                why.append(f"the list that is kept: {error}")
            else:
                return kept
        raise errors.HostError(
            f"whether certificate {certificate.serial_number:x} is revoked cannot be known: "
            + ("; ".join(why) if why else "no revocation list is configured"),
            code="revocation-unknown",
            remedy=_REMEDY,
        )

    def _signed(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
    ) -> list[x509.CertificateRevocationList]:
        """Every list of an issuer that can be had, current or not."""
        self._refresh(certificate, issuer, now, brief=True)
        with self._lock:
            answers = [self._answers[url].crl for url in self._places(certificate) if url in self._answers]
        found = [self._kept(issuer), *answers]
        return [crl for crl in found if crl is not None and is_of(crl, issuer) and is_signed_by(crl, issuer)]

    def _refresh(
        self, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime, *, brief: bool = False
    ) -> list[str]:
        """Ask every place, not the first that answers: who stands before one can show an old list, but not hide a new.

        :param brief: a server stands still meanwhile, so none is waited for longer than a moment.
        :returns: why places have no list that is good now.
        """
        why = []
        for url in self._places(certificate):
            answer = self._ask(url, spare=self._kept(issuer) is not None, brief=brief)
            if answer.crl is None:
                why.append(f"{url}: {answer.why}")
                continue
            try:
                # Before it is kept: lists come by plain HTTP, and what anybody put there must neither take the place
                # of a good list nor become evidence.
                check_list(answer.crl, issuer, now)
            except errors.SV2MError as error:
                why.append(f"{url}: {error}")
                continue
            self._keep(url, answer.crl, issuer, now)
        return why

    def _keep(self, url: str, crl: x509.CertificateRevocationList, issuer: x509.Certificate, now: datetime) -> None:
        with self._lock:
            kept = self._newest.get(_key(issuer))
            # 5.2.3. Once the newer one has ended, an older that has not is better than none.
            if kept is not None and is_older(crl, kept) and kept.next_update_utc and kept.next_update_utc > now:
                LOG.warning(
                    "The revocation list at %s, of %s, is older than one of %s that was had before, and is not taken",
                    url,
                    crl.last_update_utc,
                    kept.last_update_utc,
                )
                return
            self._newest[_key(issuer)] = crl

    def _kept(self, issuer: x509.Certificate) -> x509.CertificateRevocationList | None:
        with self._lock:
            return self._newest.get(_key(issuer))

    def _places(self, certificate: x509.Certificate) -> list[str]:
        return [*self._urls, *self._points(certificate)]

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

    def _ask(self, url: str, *, spare: bool, brief: bool) -> _Answer:
        """What a place answers, or has answered a short while ago.

        :param spare: another list may serve, so a place that is away is not waited for each time.
        """
        with self._lock:
            answer = self._answers.get(url)
        if answer is not None:
            patience = self._max_age if answer.crl is not None else min(self._max_age, _LEFT_ALONE if spare else 0)
            if self._clock() - answer.at < patience:
                return answer
        try:
            fetch = self._briefly if brief else self._fetch
            new = _Answer(_parse(fetch(url, MAX_CRL)), "", self._clock())
        except errors.SV2MError as error:
            LOG.warning("The revocation list at %s could not be fetched: %s", url, error)
            new = _Answer(None, str(error), self._clock())
        with self._lock:
            self._answers[url] = new
        return new


def _key(issuer: x509.Certificate) -> bytes:
    return issuer.fingerprint(hashes.SHA256())


def _parse(body: bytes) -> x509.CertificateRevocationList:
    try:
        if body.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_crl(body)
        return x509.load_der_x509_crl(body)
    except (ValueError, x509.InvalidVersion) as error:
        raise errors.HostError("it is not a revocation list") from error
