# SPDX-License-Identifier: Apache-2.0
"""For which clouds of an evidence folder the roots vouch, and until when.

A cloud's certificates come from the signed message that introduces it; the folder's copies of them are compared, never
believed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors, protocol
from sv2m.evidence import blocks, path, revocation
from sv2m.evidence.folder import LISTS, Folder
from sv2m.evidence.report import BAD, GOOD, NOTE, Report
from sv2m.protocol.states import INTRODUCES


@dataclass(frozen=True)
class Party:
    """A cloud as the message that introduces it says, its certificates not yet judged."""

    name: str
    chain: Sequence[x509.Certificate]

    @property
    def leaf(self) -> bytes:
        """The certificate itself, in DER."""
        return self.chain[0].public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Trusted:
    """A cloud for which the roots vouch.

    :param ends: when the first certificate of its path ends, UTC.
    :param revoked: when the first certificate of its path was revoked, UTC; None: no list says that one was.
    :param current: whether lists of today say of each of them that it was not.
    """

    leaf: bytes
    ends: datetime
    revoked: datetime | None
    current: bool

    def is_within(self, at: datetime) -> bool:
        """Whether every certificate of the path was valid still."""
        return at <= self.ends


def introduced(folder: Folder, role: str, report: Report) -> Party | None:
    """The cloud of a role, source or destination; None: no message introduces it, or the folder's copies differ."""
    kind, name = INTRODUCES[role], f"certificates/{role}.pem"
    document = folder.messages.get(kind)
    if document is None:
        report.add(name, BAD if role == "source" else NOTE, f"there is no {kind}, which introduces the {role}")
        return None
    try:
        party = protocol.claimed_party(document)
        chain = path.load_chain(party.chain)
        for copy, expected in ((name, chain[:1]), (f"certificates/{role}-issuers.pem", chain[1:])):
            _check_copy(folder, copy, expected)
    except errors.SV2MError as error:
        report.add(name, BAD, str(error))
        return None
    return Party(party.name, chain)


def _check_copy(folder: Folder, name: str, expected: Sequence[x509.Certificate]) -> None:
    pem = "".join(one.public_bytes(Encoding.PEM).decode() for one in expected).encode()
    if folder.files.get(name, b"") != pem:
        raise errors.InvalidCertificate(f"{name} is not what the message brought")


@dataclass(frozen=True)
class Trust:
    """What the roots say of clouds.

    :param known: every certificate that may have signed a list: the roots, and what the clouds say of themselves.
    :param own: the folder's revocation lists; lists: these, and those of others.
    :param now: of the hearing, UTC.
    """

    roots: Sequence[x509.Certificate]
    known: Sequence[x509.Certificate]
    own: Sequence[x509.CertificateRevocationList]
    lists: Sequence[x509.CertificateRevocationList]
    now: datetime
    report: Report

    def judge(
        self, role: str, party: Party | None, proved_at: datetime | None, said_at: datetime | None
    ) -> Trusted | None:
        """What the roots say of the cloud of a role; None: they do not vouch for it.

        :param proved_at: by when the message that introduces the cloud is proved to have been there, UTC.
        :param said_at: when the folder says that the offer was made, UTC.
        """
        name = f"certificates/{role}.pem"
        if party is None:
            return None
        first = said_at if proved_at is None else proved_at
        if first is None:
            self.report.add(name, BAD, "neither a timestamp nor the folder says when the offer was made")
            return None
        try:
            whole, at = self._path(party, first, said_at)
        except errors.SV2MError as error:
            self.report.add(name, BAD, str(error))
            return None
        self.report.add(name, GOOD, f"{party.name}, valid at {at:%Y-%m-%d %H:%M} UTC under a root that you gave")
        if at != first:
            text = f"no timestamp is of before its end: judged at {at:%Y-%m-%d %H:%M} UTC, as the folder says"
            self.report.add(name, NOTE, text)
        revoked = self._revoked(name, whole, at)
        current = revoked is None and self._is_current(whole)
        if not current:
            text = "no list of today clears it: what it signed without a timestamp convicts nobody"
            self.report.add(name, NOTE, text)
        return Trusted(party.leaf, min(one.not_valid_after_utc for one in whole), revoked, current)

    def _path(
        self, party: Party, at: datetime, said_at: datetime | None
    ) -> tuple[list[x509.Certificate], datetime]:
        """The path to a root, and the time at which it is good: ``at``, or else what the folder says of before.

        A first timestamp of after a certificate's end shows only that all was there by then. It must not take away what
        is heard without any; so then the folder's word counts as it does then, and may as well be a lie. That is safe:
        a revocation is held against what is proved alone, and what was not shown before the end convicts nobody.

        :raises sv2m.errors.InvalidCertificate: there is none.
        """
        try:
            return path.validate(party.chain, party.name, self.roots, at), at
        except errors.InvalidCertificate:
            if said_at is None or said_at >= at:
                raise
        return path.validate(party.chain, party.name, self.roots, said_at), said_at

    def _is_current(self, whole: Sequence[x509.Certificate]) -> bool:
        # Lists need not name a certificate that has ended.
        return all(
            self.now <= certificate.not_valid_after_utc and any(_speaks(one, issuer, self.now) for one in self.lists)
            for certificate, issuer in itertools.pairwise(whole)
        )

    def _revoked(self, name: str, whole: Sequence[x509.Certificate], at: datetime) -> datetime | None:
        found = []
        for certificate, issuer in itertools.pairwise(whole):
            serial = f"{certificate.serial_number:x}"
            when = revocation.revoked_at(certificate, issuer, self.lists)
            if when is not None:
                self.report.add(name, NOTE, f"{serial} was revoked at {when:%Y-%m-%d %H:%M:%S} UTC")
                found.append(when)
            elif not any(_speaks(one, issuer, at) for one in self.lists):
                self.report.add(name, NOTE, f"no list that was kept says whether {serial} was revoked")
            self._strangers(issuer)
        return min(found, default=None)

    def _strangers(self, issuer: x509.Certificate) -> None:
        """Lists that bear the issuer's name, and that it has not signed.

        They say nothing of its certificates, and what the issuer itself has signed is heard beside them. A CA that has
        a new key under its old name, or another CA of that name, signs such lists in all honesty; but one that nobody
        of that name has signed was changed, and may have told of a theft.
        """
        others = [one for one in self.own if revocation.is_of(one, issuer) and not revocation.is_signed_by(one, issuer)]
        called = issuer.subject.rfc4514_string()
        if any(not revocation.is_signed_by_any(one, self.known) for one in others):
            self.report.add(LISTS, BAD, f"a list that {called} is said to have signed was changed")
        elif others:
            self.report.add(LISTS, NOTE, f"a list is of another key with the name {called}: it says nothing here")


def _speaks(one: x509.CertificateRevocationList, issuer: x509.Certificate, at: datetime) -> bool:
    try:
        revocation.check_list(one, issuer, at)
    except errors.SV2MError:
        return False
    return True


def strangers(
    lists: Sequence[x509.CertificateRevocationList], known: Sequence[x509.Certificate], report: Report
) -> None:
    """Lists of issuers that nobody here bears the name of: they say nothing, and whether they did is not known.

    A cloud keeps the lists of all CAs of its agreements; so such a list is nothing wrong. But one in which the issuer's
    name was changed is such a list, too: that it is the one that was kept, only a log says that was stamped.
    """
    others = [one for one in lists if not any(revocation.is_of(one, issuer) for issuer in known)]
    if others:
        text = f"{len(others)} of its lists are of nobody whom the roots or the messages name, and say nothing here"
        report.add(LISTS, NOTE, text)


def own_lists(folder: Folder, report: Report) -> list[x509.CertificateRevocationList]:
    """The revocation lists that a folder brings, nothing of them believed yet."""
    try:
        if LISTS not in folder.files:
            return []
        blocks.decode(folder.files[LISTS], blocks.CRL)
        return revocation.load_lists(folder.files[LISTS])
    except errors.SV2MError as error:
        report.add(LISTS, BAD, str(error))
        return []
