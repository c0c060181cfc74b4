# SPDX-License-Identifier: Apache-2.0
"""The trusted third party of a test, its revocation list, and the certificates, good and bad, that it gave out."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from sv2m import errors
from sv2m.cmm import server as cmm
from sv2m.cmm.revocation import RevocationLists
from sv2m.db import certificates
from sv2m.db import engine as database
from tests.protocol.certificates import Identity
from tests.unit.cmm.authority import CRL_URL, Certified, root

BETWEEN_URL = "http://crl.test/between.crl"
A, B, C = "cloud-a.sv2m", "cloud-b.sv2m", "cloud-c.sv2m"


@functools.cache
def authority() -> Certified:
    return root()


@functools.cache
def certified(name: str) -> Certified:
    """The certificate with which a cloud signs."""
    return otherwise(name)


def otherwise(name: str, *, ca: Certified | None = None, is_ca: bool = False, **wrong: Any) -> Certified:
    """A certificate of this name that is otherwise than it should be; see :meth:`Certified.certify`.

    :param ca: who gave it out; :param is_ca: it says of itself that it is a CA's.
    """
    now = datetime.now(UTC)
    lifetime = {"begins": now - timedelta(days=10), "ends": now + timedelta(days=90)}
    return (ca or authority()).certify(name, ca=is_ca, **{**lifetime, **wrong})


def identity(name: str, of: Certified | None = None) -> Identity:
    """How a cloud of this name signs: with its own certificate, or with another."""
    one = of or certified(name)
    return Identity(name, one.key_pem, (one.der,))


class Barbican:
    """Where a cloud's own signing key lies."""

    REF = "http://barbican.test/v1/secrets/identity"
    #: Keys that came later: those of other certificates of the cloud.
    later: dict[str, bytes] = {}  # noqa: RUF012 - one Barbican, whoever asks

    def __init__(self, name: str) -> None:
        self._keys = {self.REF: certified(name).key_pem}

    def read(self, ref: str) -> bytearray:
        key = {**self.later, **self._keys}.get(ref)
        if key is None:
            raise errors.NotFound(f"no secret {ref}")
        return bytearray(key)

    def delete(self, ref: str) -> None:
        self.later.pop(ref, None)
        self._keys.pop(ref, None)


class ThirdParty:
    """Its revocation list as a cloud fetches it, and a clock for certificates."""

    def __init__(self) -> None:
        self.revoked: list[Certified] = []
        #: Why they are.
        self.reason: x509.ReasonFlags | None = None
        self.away = False
        #: Its list has ended, and it makes no new one.
        self.stale = False
        #: A CA of its own making, which has a list as well.
        self.between: Certified | None = None
        #: How far the clock of whoever checks certificates is ahead.
        self.later = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.later

    def fetch(self, url: str, limit: int) -> bytes:
        now = self.now()
        if url == BETWEEN_URL and self.between is not None:
            return self.between.crl(issued=now - timedelta(hours=1), ends=now + timedelta(days=1))
        if self.away or url != CRL_URL:
            raise errors.HostError("no such list")
        ends = now - timedelta(minutes=1) if self.stale else now + timedelta(days=1)
        return authority().crl(*self.revoked, issued=now - timedelta(hours=1), ends=ends, reason=self.reason)

    def cmm(self) -> cmm.Endpoint:
        """CMM as a cloud runs it; its own certificate is in its database."""
        return cmm.Endpoint(RevocationLists(self.fetch, [CRL_URL, BETWEEN_URL], [], 0), now=self.now)


def enrol(name: str) -> None:
    """Write a cloud's certificate into its database."""
    one = certified(name)
    with database.session() as session:
        certificates.create(
            session,
            now=datetime.now(UTC) - timedelta(days=1),
            name=name,
            state="active",
            chain_pem=one.pem,
            serial=f"{one.certificate.serial_number:x}",
            private_key_ref=Barbican.REF,
            not_after=one.certificate.not_valid_after_utc,
        )


def renew(name: str, one: Certified | None = None) -> Certified:
    """A cloud signs with another certificate from now on."""
    one = one or otherwise(name)
    ref = f"http://barbican.test/v1/secrets/{one.certificate.serial_number:x}"
    Barbican.later[ref] = one.key_pem
    with database.session() as session:
        row = certificates.create(session, name=name)
        certificates.activate(
            session,
            row.id,
            chain_pem=one.pem,
            serial=f"{one.certificate.serial_number:x}",
            private_key_ref=ref,
            not_after=one.certificate.not_valid_after_utc,
            at=datetime.now(UTC),
        )
    return one
