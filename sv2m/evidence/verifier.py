# SPDX-License-Identifier: Apache-2.0
"""Everything in an evidence folder, checked against root certificates alone.

What is believed is only what the roots vouch for: the clouds' certificates come from the signed messages that
introduce them, and the time from the timestamps. What the folder says about itself (its summary, its copies of
certificates) is compared, never believed; one exception is named in a finding of its own: without any timestamp, the
time at which the certificates are judged is the folder's.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors, protocol
from sv2m.evidence import chain, path, revocation, stamps
from sv2m.evidence.folder import MANIFEST, README, SUMMARY, Folder, message_file, signer
from sv2m.evidence.report import BAD, GOOD, NOTE, Report
from sv2m.protocol import checks
from sv2m.protocol.trailer import check_named, read_trailer_context
from sv2m.protocol.transcript import Received, Transcript

_LISTS = "certificates/crl.pem"
_INTRODUCTIONS = {"source": "Offer", "destination": "TokenBA1"}


@dataclass(frozen=True)
class Case:
    """A folder that was checked.

    :param transcript: the messages whose signatures and contents are good, and nothing else.
    """

    folder: Folder
    report: Report
    transcript: Transcript


def verify(
    folder: Folder, roots: Sequence[x509.Certificate], tsa_roots: Sequence[x509.Certificate] | None = None
) -> Case:
    """Check a folder.

    :param roots: the only certificates that may vouch for the clouds.
    :param tsa_roots: the only ones that may vouch for a timestamp authority; None takes the same.
    """
    report = Report()
    times = stamps.check(folder, roots if tsa_roots is None else tsa_roots, report)
    at = _time(folder, times, report)
    leaves = {role: _certificate(folder, role, roots, at, report) for role in _INTRODUCTIONS}
    transcript = _messages(folder, leaves, report)
    _manifest(folder, leaves["source"], transcript, report)
    _audit(folder, transcript.migration_id or "", report)
    _copies(folder, roots, "certificates/ca.pem", report)
    _copies(folder, roots if tsa_roots is None else tsa_roots, stamps.ROOTS, report)
    _summary(folder, transcript.migration_id, report)
    _rest(folder, report)
    return Case(folder, report, transcript)


def _time(folder: Folder, times: Sequence[datetime], report: Report) -> datetime:
    if times:
        return min(times)
    said = [one.get("at") for one in folder.summary.get("documents", ()) if one.get("kind") == "Offer"]
    try:
        at = datetime.fromisoformat(str(said[0])).astimezone(UTC)
    except (IndexError, ValueError):
        report.add(SUMMARY, BAD, "the folder does not say when the offer was made, and there is no timestamp")
        return datetime.fromtimestamp(0, UTC)
    said_at = f"judged at {at:%Y-%m-%d %H:%M} UTC, as the folder says"
    report.add(SUMMARY, NOTE, f"no timestamp: the certificates are {said_at}")
    return at


def _certificate(
    folder: Folder, role: str, roots: Sequence[x509.Certificate], at: datetime, report: Report
) -> bytes | None:
    """The leaf of a cloud, if the roots vouch for it at that time."""
    kind, name = _INTRODUCTIONS[role], f"certificates/{role}.pem"
    document = folder.messages.get(kind)
    if document is None:
        report.add(name, BAD if role == "source" else NOTE, f"there is no {kind}, which introduces the {role}")
        return None
    try:
        party = protocol.claimed_party(document)
        leaf, *others = path.load_chain(party.chain)
        for copy, expected in ((name, [leaf]), (f"certificates/{role}-issuers.pem", others)):
            _check_copy(folder, copy, expected)
        whole = path.validate([leaf, *others], party.name, roots, at)
        _check_revoked(folder, name, whole, at, report)
    except errors.SV2MError as error:
        report.add(name, BAD, str(error))
        return None
    report.add(name, GOOD, f"{party.name}, valid at {at:%Y-%m-%d %H:%M} UTC under a root that you gave")
    return party.chain[0]


def _check_copy(folder: Folder, name: str, expected: Sequence[x509.Certificate]) -> None:
    pem = "".join(one.public_bytes(Encoding.PEM).decode() for one in expected).encode()
    if folder.files.get(name, b"") != pem:
        raise errors.InvalidCertificate(f"{name} is not what the message brought")


def _check_revoked(folder: Folder, name: str, whole: Sequence[x509.Certificate], at: datetime, report: Report) -> None:
    try:
        lists = revocation.load_lists(folder.files[_LISTS]) if _LISTS in folder.files else []
    except errors.SV2MError as error:
        report.add(_LISTS, BAD, str(error))
        return
    for certificate, issuer in itertools.pairwise(whole):
        if any(one.issuer == issuer.subject and not revocation.is_signed_by(one, issuer) for one in lists):
            report.add(_LISTS, BAD, f"a list that {issuer.subject.rfc4514_string()} is said to have signed was changed")
        speaking = []
        for one in lists:
            try:
                revocation.check_list(one, issuer, at)
            except errors.SV2MError:
                continue
            speaking.append(one)
        if not speaking:
            report.add(name, NOTE, f"no list that was kept says whether {certificate.serial_number:x} was revoked")
        for one in speaking:
            entry = one.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None and entry.revocation_date_utc <= at:
                raise errors.InvalidCertificate(f"{certificate.serial_number:x} was revoked before")


def _messages(folder: Folder, leaves: dict[str, bytes | None], report: Report) -> Transcript:
    """The messages that are good: signed by their cloud, and fitting what was said before."""
    transcript = Transcript({})
    for kind, document in folder.messages.items():
        name, leaf = message_file(kind), leaves[signer(kind)]
        if leaf is None:
            report.add(name, BAD, f"the {signer(kind)} that should have signed it is not known")
            continue
        try:
            verified = protocol.verify(document, kind, leaf)
            received = Received(protocol.decode(verified.message_document), verified.digest, document)
            offer = received.message if isinstance(received.message, protocol.Offer) else None
            checks.check(transcript, received.message, offer.destination if offer else "", None)
            transcript = transcript.having(received)
        except errors.SV2MError as error:
            report.add(name, BAD, str(error))
            continue
        report.add(name, GOOD, f"signed by the {signer(kind)}, and fits the messages before it")
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
    told = {event["kind"]: event.get("sha384") for event in log.events if event.get("action") == "document"}
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


def _summary(folder: Folder, migration_id: str | None, report: Report) -> None:
    """Nobody has signed it; but it must not say otherwise than the messages."""
    said = {one.get("kind"): one.get("sha384") for one in folder.summary.get("documents", ())}
    told = {kind: hashlib.sha384(document).hexdigest() for kind, document in folder.messages.items()}
    if folder.summary.get("migration_id") != migration_id or any(said.get(kind) != told[kind] for kind in told):
        report.add(SUMMARY, BAD, "it does not fit the messages")


def _rest(folder: Folder, report: Report) -> None:
    known = {SUMMARY, README, MANIFEST, "certificates/ca.pem", _LISTS}
    known |= {message_file(kind) for kind in protocol.KINDS}
    known |= {f"certificates/{role}{more}.pem" for role in _INTRODUCTIONS for more in ("", "-issuers")}
    for name in sorted(set(folder.files) - known):
        if not name.startswith(("timestamps/", "audit/")):
            report.add(name, NOTE, "not one of the files that are checked")
