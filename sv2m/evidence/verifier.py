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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors, protocol
from sv2m.evidence import blocks, by_hand, declared, stamps, summary, told
from sv2m.evidence.declared import Declared
from sv2m.evidence.folder import (
    DECLARATIONS,
    LISTS,
    MANIFEST,
    README,
    ROOT,
    SUMMARY,
    Folder,
    declaration_file,
    message_file,
    signer,
)
from sv2m.evidence.report import BAD, GOOD, NOTE, Report
from sv2m.evidence.summary import Summary
from sv2m.evidence.times import proved
from sv2m.evidence.trust import Party, Trust, Trusted, introduced, own_lists, strangers
from sv2m.protocol import checks
from sv2m.protocol.states import INTRODUCES
from sv2m.protocol.trailer import check_named, read_trailer_context
from sv2m.protocol.transcript import Received, Transcript


@dataclass(frozen=True)
class Case:
    """A folder that was checked.

    :param transcript: the messages whose signatures and contents are good, and nothing else.
    :param times: by when each message is proved to have been there, UTC; left out are those of which it is not, and
        those that were first shown when their signer's certificate, or one above it, had ended: a list need not name
        it any more, so that nobody learns of a key that was stolen since.
    :param current: the roles whose certificates a list of today does not name: what such a cloud has signed may be of
        today, and is still its own.
    :param declarations: what people have decided, of whose cloud the signature is good.
    """

    folder: Folder
    report: Report
    transcript: Transcript
    times: Mapping[str, datetime] = field(default_factory=dict)
    current: frozenset[str] = frozenset()
    declarations: tuple[Declared, ...] = ()

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
    own = own_lists(folder, report)
    parties = {role: introduced(folder, role, report) for role in INTRODUCES}
    signed = _signed(folder, parties, report)
    # Before anybody is trusted: by when each message was there does not depend on who signed it.
    times = proved(_fitting(signed, Report()), stamped)
    known = [*roots, *(one for party in parties.values() if party for one in party.chain)]
    strangers(own, known, report)
    trust = Trust(roots, known, own, [*own, *lists], now or datetime.now(UTC), report)
    trusted = {
        role: trust.judge(role, party, times.get(INTRODUCES[role]), said.offered_at)
        for role, party in parties.items()
    }
    _note_word(said, times, report)
    in_time = {kind: one for kind, one in signed.items() if _in_time(kind, trusted[signer(kind)], times, report)}
    transcript = _fitting(in_time, report)
    source = trusted["source"]
    _manifest(folder, source.leaf if source else None, transcript, report)
    declarations = declared.check(folder, transcript, trusted, report)
    told.check(folder, transcript, said, report)
    _copies(folder, roots, ROOT, report)
    _copies(folder, roots if tsa_roots is None else tsa_roots, stamps.ROOTS, report)
    _fits_summary(folder, said, transcript.migration_id, report)
    _text(folder, report)
    _rest(folder, report)
    current = frozenset(role for role, one in trusted.items() if one is not None and one.current)
    dated = {kind: at for kind, at in times.items() if (by := trusted[signer(kind)]) and by.is_within(at)}
    return Case(folder, report, transcript, dated, current, declarations)


def verify_all(
    folders: Sequence[Folder],
    roots: Sequence[x509.Certificate],
    tsa_roots: Sequence[x509.Certificate] | None = None,
    lists: Sequence[x509.CertificateRevocationList] = (),
    now: datetime | None = None,
) -> list[Case]:
    """Check the folders of one hearing: a revocation list that one side shows counts for what the other side shows."""
    shown = [*lists, *(one for folder in folders for one in own_lists(folder, Report()))]
    return [verify(folder, roots, tsa_roots, shown, now=now) for folder in folders]


def refused(name: str, error: errors.PeerError) -> Case:
    """A folder that cannot even be opened: nothing in it is heard, and the hearing goes on."""
    report = Report()
    report.add("folder", BAD, str(error))
    return Case(Folder(name, {}), report, Transcript({}))


def _in_time(kind: str, by: Trusted | None, times: Mapping[str, datetime], report: Report) -> bool:
    """Whether a message was there while its signer's certificate was its signer's.

    Each is judged at its own time. Who has stolen a key signs what he likes, and shows it among stamped messages of
    before; so of a revoked certificate only what is proved to have been there before the revocation is its owner's.
    """
    name, at = message_file(kind), times.get(kind)
    if by is None:
        report.add(name, BAD, f"no root that you gave vouches for the {signer(kind)}, who has signed it")
        return False
    if by.revoked is not None and (at is None or at >= by.revoked):
        shown = "at no time" if at is None else f"only at {at:%Y-%m-%d %H:%M:%S} UTC"
        text = f"a timestamp shows it {shown}, and the {signer(kind)}'s certificate was revoked at {by.revoked}"
        report.add(name, BAD, f"{text}: whoever has stolen the key may have signed it")
        return False
    if at is not None and not by.is_within(at):
        text = f"a timestamp shows it only after the end of the {signer(kind)}'s certificate, which counts as none"
        report.add(name, NOTE, text)
    return True


def _note_word(said: Summary, times: Mapping[str, datetime], report: Report) -> None:
    if said.offered_at is not None and "Offer" not in times:
        said_at = f"judged at {said.offered_at:%Y-%m-%d %H:%M} UTC, as the folder says"
        report.add(SUMMARY, NOTE, f"no timestamp: the certificates are {said_at}")


def _signed(folder: Folder, parties: Mapping[str, Party | None], report: Report) -> dict[str, Received]:
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
            raise errors.InvalidSignature("no root that you gave vouches for the source, which should have signed it")
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


def _copies(folder: Folder, roots: Sequence[x509.Certificate], name: str, report: Report) -> None:
    """A copy of the roots in the folder is for checking by hand; whoever does that must not be misled."""
    if name not in folder.files:
        return
    try:
        # Byte for byte: openssl finds certificates where cryptography sees none.
        copies = blocks.decode(folder.files[name], blocks.CERTIFICATE)
    except errors.SV2MError as error:
        report.add(name, BAD, str(error))
        return
    if set(copies) <= {one.public_bytes(Encoding.DER) for one in roots}:
        report.add(name, GOOD, "a root that you gave" if len(copies) == 1 else "roots that you gave")
    else:
        report.add(name, BAD, "it has a certificate that is not a root that you gave")


def _summary(folder: Folder, report: Report) -> Summary:
    try:
        return summary.read(folder.files.get(SUMMARY, b"{}"))
    except errors.PeerError as error:
        report.add(SUMMARY, BAD, str(error))
        return Summary()


def _fits_summary(folder: Folder, said: Summary, migration_id: str | None, report: Report) -> None:
    """Nobody has signed it; but it must not say otherwise than the messages."""
    digests = {kind: hashlib.sha384(document).hexdigest() for kind, document in folder.messages.items()}
    # Where nothing of the messages is heard, nothing says which migration they are of.
    same = migration_id in {None, said.migration_id}
    if not same or any(said.digests.get(kind) != digests[kind] for kind in digests):
        report.add(SUMMARY, BAD, "it does not fit the messages")


def _text(folder: Folder, report: Report) -> None:
    """Nobody has signed it, and its reader types its commands."""
    if README not in folder.files:
        report.add(README, NOTE, "it is not there: the folder does not say how to check it by hand")
        return
    try:
        whole = by_hand.write({name: data for name, data in folder.files.items() if name != README})
    except errors.SV2MError:
        whole = b""
    if folder.files[README] == whole:
        report.add(README, GOOD, "the text that this program writes for these files")
    else:
        text = "not the text that this program writes for these files: type none of its commands"
        report.add(README, NOTE, text)


def _rest(folder: Folder, report: Report) -> None:
    known = {SUMMARY, README, MANIFEST, ROOT, LISTS}
    known |= {message_file(kind) for kind in protocol.KINDS} | {declaration_file(kind) for kind in DECLARATIONS}
    known |= {f"certificates/{role}{more}.pem" for role in INTRODUCES for more in ("", "-issuers")}
    for name in sorted(set(folder.files) - known):
        if not name.startswith(("timestamps/", "audit/")):
            report.add(name, NOTE, "not one of the files that are checked")
