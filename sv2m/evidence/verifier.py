# SPDX-License-Identifier: Apache-2.0
"""Everything in an evidence folder, checked against root certificates alone.

What is believed is only what the roots vouch for: the clouds' certificates come from the signed messages that
introduce them, and the time from the timestamps. What the folder says about itself (its summary, its copies of
certificates) is compared, never believed; one exception is named in a finding of its own: without a timestamp of while
they were valid, the time at which the certificates are judged is the folder's. It may be a lie; so what is heard only
because of it convicts nobody.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors, protocol
from sv2m.evidence import chain, path, revocation, stamps, summary
from sv2m.evidence.folder import MANIFEST, README, SUMMARY, Folder, message_file, signer
from sv2m.evidence.report import BAD, GOOD, NOTE, Report
from sv2m.evidence.summary import Summary
from sv2m.evidence.times import proved
from sv2m.protocol import checks
from sv2m.protocol.trailer import check_named, read_trailer_context
from sv2m.protocol.transcript import Received, Transcript

_LISTS = "certificates/crl.pem"
_INTRODUCTIONS = {"source": "Offer", "destination": "TokenBA1"}


@dataclass(frozen=True)
class Case:
    """A folder that was checked.

    :param transcript: the messages whose signatures and contents are good, and nothing else.
    :param times: by when each message is proved to have been there, UTC; left out are those of which it is not, and
        those that were first shown when their signer's certificate, or one above it, had ended: a list need not name
        it any more, so that nobody learns of a key that was stolen since.
    :param current: the roles whose certificates a list of today does not name: what such a cloud has signed may be of
        today, and is still its own.
    """

    folder: Folder
    report: Report
    transcript: Transcript
    times: Mapping[str, datetime] = field(default_factory=dict)
    current: frozenset[str] = frozenset()

    def is_dated(self, kind: str) -> bool:
        """Whether it is proved that this message was there before anything befell its signer's certificate."""
        return kind in self.times

    def is_undeniable(self, kind: str) -> bool:
        """Whether nobody but the cloud itself can have signed this message."""
        return self.is_dated(kind) or signer(kind) in self.current


def verify(
    folder: Folder,
    roots: Sequence[x509.Certificate],
    tsa_roots: Sequence[x509.Certificate] | None = None,
    lists: Sequence[x509.CertificateRevocationList] = (),
    now: datetime | None = None,
) -> Case:
    """Check a folder.

    :param roots: the only certificates that may vouch for the clouds.
    :param tsa_roots: the only ones that may vouch for a timestamp authority; None takes the same.
    :param lists: revocation lists beside those of the folder. Only what an issuer of a certificate has signed counts.
    :param now: the time of the hearing, UTC; None is this machine's.
    """
    report = Report()
    stamped = stamps.check(folder, roots if tsa_roots is None else tsa_roots, report)
    said = _summary(folder, report)
    own = _own_lists(folder, report)
    parties = {role: _party(folder, role, report) for role in _INTRODUCTIONS}
    signed = _signed(folder, parties, report)
    # Before anybody is trusted: by when each message was there does not depend on who signed it.
    times = proved(_fitting(signed, Report()), stamped)
    known = [*roots, *(one for party in parties.values() if party for one in party.chain)]
    judged = _Judged(roots, known, own, [*own, *lists], now or datetime.now(UTC), report)
    trusted = {
        role: judged.trust(role, party, times.get(_INTRODUCTIONS[role]), said.offered_at)
        for role, party in parties.items()
    }
    _note_word(said, times, report)
    in_time = {kind: one for kind, one in signed.items() if _in_time(kind, trusted[signer(kind)], times, report)}
    transcript = _fitting(in_time, report)
    source = trusted["source"]
    _manifest(folder, source.leaf if source else None, transcript, report)
    _audit(folder, transcript.migration_id or "", report)
    _copies(folder, roots, "certificates/ca.pem", report)
    _copies(folder, roots if tsa_roots is None else tsa_roots, stamps.ROOTS, report)
    _fits_summary(folder, said, transcript.migration_id, report)
    _rest(folder, report)
    current = frozenset(role for role, one in trusted.items() if one is not None and one.current)
    dated = {kind: at for kind, at in times.items() if _is_within(trusted[signer(kind)], at)}
    return Case(folder, report, transcript, dated, current)


def verify_all(
    folders: Sequence[Folder],
    roots: Sequence[x509.Certificate],
    tsa_roots: Sequence[x509.Certificate] | None = None,
    lists: Sequence[x509.CertificateRevocationList] = (),
    now: datetime | None = None,
) -> list[Case]:
    """Check the folders of one hearing: a revocation list that one side shows counts for what the other side shows."""
    shown = [*lists, *(one for folder in folders for one in _own_lists(folder, Report()))]
    return [verify(folder, roots, tsa_roots, shown, now=now) for folder in folders]


def refused(name: str, error: errors.PeerError) -> Case:
    """A folder that cannot even be opened: nothing in it is heard, and the hearing goes on."""
    report = Report()
    report.add("folder", BAD, str(error))
    return Case(Folder(name, {}), report, Transcript({}))


@dataclass(frozen=True)
class _Party:
    """A cloud as the message that introduces it says, its certificates not yet judged."""

    name: str
    chain: Sequence[x509.Certificate]

    @property
    def leaf(self) -> bytes:
        return self.chain[0].public_bytes(Encoding.DER)


@dataclass(frozen=True)
class _Trusted:
    """A cloud for which the roots vouch.

    :param ends: when the first certificate of its path ends, UTC.
    :param revoked: when the first certificate of its path was revoked, UTC; None: no list says that one was.
    :param current: whether lists of today say of each of them that it was not.
    """

    leaf: bytes
    ends: datetime
    revoked: datetime | None
    current: bool


def _party(folder: Folder, role: str, report: Report) -> _Party | None:
    kind, name = _INTRODUCTIONS[role], f"certificates/{role}.pem"
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
    return _Party(party.name, chain)


@dataclass(frozen=True)
class _Judged:
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

    def trust(
        self, role: str, party: _Party | None, proved_at: datetime | None, said_at: datetime | None
    ) -> _Trusted | None:
        """:param proved_at: by when the message that introduces the cloud is proved to have been there, UTC.

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
        return _Trusted(party.leaf, min(one.not_valid_after_utc for one in whole), revoked, current)

    def _path(
        self, party: _Party, at: datetime, said_at: datetime | None
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
            self.report.add(_LISTS, BAD, f"a list that {called} is said to have signed was changed")
        elif others:
            self.report.add(_LISTS, NOTE, f"a list is of another key with the name {called}: it says nothing here")


def _speaks(one: x509.CertificateRevocationList, issuer: x509.Certificate, at: datetime) -> bool:
    try:
        revocation.check_list(one, issuer, at)
    except errors.SV2MError:
        return False
    return True


def _own_lists(folder: Folder, report: Report) -> list[x509.CertificateRevocationList]:
    try:
        return revocation.load_lists(folder.files[_LISTS]) if _LISTS in folder.files else []
    except errors.SV2MError as error:
        report.add(_LISTS, BAD, str(error))
        return []


def _in_time(kind: str, by: _Trusted | None, times: Mapping[str, datetime], report: Report) -> bool:
    """Whether a message was there while its signer's certificate was its signer's.

    Each is judged at its own time. Who has stolen a key signs what he likes, and shows it among stamped messages of
    before; so of a revoked certificate only what is proved to have been there before the revocation is its owner's.
    """
    name, at = message_file(kind), times.get(kind)
    if by is None:
        report.add(name, BAD, f"the {signer(kind)} that should have signed it is not known")
        return False
    if by.revoked is not None and (at is None or at >= by.revoked):
        shown = "at no time" if at is None else f"only at {at:%Y-%m-%d %H:%M:%S} UTC"
        text = f"a timestamp shows it {shown}, and the {signer(kind)}'s certificate was revoked at {by.revoked}"
        report.add(name, BAD, f"{text}: whoever has stolen the key may have signed it")
        return False
    if at is not None and not _is_within(by, at):
        text = f"a timestamp shows it only after the end of the {signer(kind)}'s certificate, which counts as none"
        report.add(name, NOTE, text)
    return True


def _is_within(by: _Trusted | None, at: datetime) -> bool:
    """Whether every certificate of the signer's path was valid still."""
    return by is not None and at <= by.ends


def _note_word(said: Summary, times: Mapping[str, datetime], report: Report) -> None:
    if said.offered_at is not None and "Offer" not in times:
        said_at = f"judged at {said.offered_at:%Y-%m-%d %H:%M} UTC, as the folder says"
        report.add(SUMMARY, NOTE, f"no timestamp: the certificates are {said_at}")


def _check_copy(folder: Folder, name: str, expected: Sequence[x509.Certificate]) -> None:
    pem = "".join(one.public_bytes(Encoding.PEM).decode() for one in expected).encode()
    if folder.files.get(name, b"") != pem:
        raise errors.InvalidCertificate(f"{name} is not what the message brought")


def _signed(folder: Folder, parties: Mapping[str, _Party | None], report: Report) -> dict[str, Received]:
    """The messages that have the signature of the cloud that is said to have signed them."""
    found: dict[str, Received] = {}
    for kind, document in folder.messages.items():
        party = parties[signer(kind)]
        try:
            if party is None:
                raise errors.InvalidSignature(f"the {signer(kind)} that should have signed it is not known")
            verified = protocol.verify(document, kind, party.leaf)
            found[kind] = Received(protocol.decode(verified.message_document), verified.digest, document)
        except errors.SV2MError as error:
            report.add(message_file(kind), BAD, str(error))
    return found


def _fitting(signed: Mapping[str, Received], report: Report) -> Transcript:
    """Those that fit what was said before, in the protocol's order."""
    transcript = Transcript({})
    for kind, received in signed.items():
        offer = received.message if isinstance(received.message, protocol.Offer) else None
        try:
            checks.check(transcript, received.message, offer.destination if offer else "", None)
            transcript = transcript.having(received)
        except errors.SV2MError as error:
            report.add(message_file(kind), BAD, str(error))
            continue
        report.add(message_file(kind), GOOD, f"signed by the {signer(kind)}, and fits the messages before it")
    return transcript


def _manifest(folder: Folder, leaf: bytes | None, transcript: Transcript, report: Report) -> None:
    signature = folder.files.get(MANIFEST)
    named = transcript.get("Transfer")
    if signature is None:
        if named is not None:
            report.add(MANIFEST, NOTE, "it is not there: the messages name the VM's digests, and do not list them")
        return
    try:
        if leaf is None:
            raise errors.InvalidSignature("the source that should have signed it is not known")
        context, listed = protocol.verify_manifest(signature, leaf)
        if read_trailer_context(context) != transcript.binding():
            raise errors.IntegrityError("it belongs to another migration, session or plan")
        manifest = protocol.Manifest.from_xml(listed)
        if named is not None:
            transfer = transcript.message(protocol.Transfer)
            check_named(signature, transfer.trailer_digest)
            manifest.check(transfer.streams)
    except errors.SV2MError as error:
        report.add(MANIFEST, BAD, str(error))
        return
    if named is None:
        # A crash, or an abort, between the trailer and the Transfer: A keeps the one before it signs the other.
        report.add(MANIFEST, NOTE, "signed by the source, but there is no good Transfer that names it")
        return
    report.add(MANIFEST, GOOD, "signed by the source, and the one that Transfer names: the digests of every segment")


def _audit(folder: Folder, migration_id: str, report: Report) -> None:
    lines = folder.audit_lines
    if not lines:
        report.add("audit", NOTE, "no audit log was saved")
        return
    log = chain.read(lines, migration_id)
    for fault in log.faults:
        report.add("audit", BAD, fault)
    told = {event["kind"]: event["sha384"] for event in log.events if event["action"] == "document"}
    whole = log.events[:1] and log.events[0]["action"] == "created"
    for kind, document in folder.messages.items():
        digest = hashlib.sha384(document).hexdigest()
        if told.get(kind, digest if not whole else None) != digest:
            report.add("audit", BAD, f"it does not tell of this {kind}")
    for kind in told:
        if kind in protocol.KINDS and kind not in folder.messages:
            report.add("audit", BAD, f"it tells of a {kind} that is not in the folder")
    if not log.faults:
        report.add("audit", GOOD, f"{len(log.events)} events in one chain, ending with {log.digest[:16]}…")


def _copies(folder: Folder, roots: Sequence[x509.Certificate], name: str, report: Report) -> None:
    """A copy of the roots in the folder is for checking by hand; whoever does that must not be misled."""
    if name not in folder.files:
        return
    try:
        copies = x509.load_pem_x509_certificates(folder.files[name])
    except (ValueError, x509.InvalidVersion):
        copies = []
    if copies and all(one in roots for one in copies):
        report.add(name, GOOD, "a root that you gave")
    else:
        report.add(name, BAD, "it is not a root that you gave")


def _summary(folder: Folder, report: Report) -> Summary:
    try:
        return summary.read(folder.files.get(SUMMARY, b"{}"))
    except errors.PeerError as error:
        report.add(SUMMARY, BAD, str(error))
        return Summary()


def _fits_summary(folder: Folder, said: Summary, migration_id: str | None, report: Report) -> None:
    """Nobody has signed it; but it must not say otherwise than the messages."""
    told = {kind: hashlib.sha384(document).hexdigest() for kind, document in folder.messages.items()}
    if said.migration_id != migration_id or any(said.digests.get(kind) != told[kind] for kind in told):
        report.add(SUMMARY, BAD, "it does not fit the messages")


def _rest(folder: Folder, report: Report) -> None:
    known = {SUMMARY, README, MANIFEST, "certificates/ca.pem", _LISTS}
    known |= {message_file(kind) for kind in protocol.KINDS}
    known |= {f"certificates/{role}{more}.pem" for role in _INTRODUCTIONS for more in ("", "-issuers")}
    for name in sorted(set(folder.files) - known):
        if not name.startswith(("timestamps/", "audit/")):
            report.add(name, NOTE, "not one of the files that are checked")
