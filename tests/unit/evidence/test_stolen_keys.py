# SPDX-License-Identifier: Apache-2.0
"""B's key is stolen, its certificate revoked, and the thief signs what B never said."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from lab import pki
from lab.ttp.authority import Profile
from sv2m import protocol as p
from sv2m.api import evidence
from sv2m.db import engine, migrations
from sv2m.engine import retention
from sv2m.evidence.folder import Folder, message_file
from sv2m.evidence.report import NOTE
from sv2m.evidence.revocation import load_lists
from sv2m.evidence.stamps import DIRECTORY, stamp_file
from sv2m.evidence.verifier import verify, verify_all
from tests.protocol.certificates import Identity
from tests.protocol.clouds import Pair, other_id
from tests.unit.evidence import test_judge
from tests.unit.evidence.clocks import AtAnotherTime
from tests.unit.evidence.court import Court, Judgement, kept, relogged, unpacked
from tests.unit.evidence.test_judge import says_instead

B = "cloud-v.sv2m"
CRL = "certificates/crl.pem"


@dataclass
class Theft:
    """What there is: B's true story, told before the theft, and the thief's.

    :param true: as A keeps it, with timestamps and the revocation list of that time.
    :param lie: the thief's, with a Receipt of after the revocation, refused; the list of now, and no timestamp.
    :param late: the same, stamped by the authority as soon as the thief had it.
    """

    pair: Pair
    true: Folder
    lie: Folder
    late: Folder


@pytest.fixture(scope="module")
def theft(court: Court) -> Iterator[Theft]:
    victim = court.enrol(B)
    serial = court.authority.issued()[-1].serial_number
    pair = court.pair(b=victim).run("hear receipt")
    true = court.keeps(pair.a)
    _pass_a_second()
    court.authority.revoke(serial)
    forged = says_instead(pair.a, refusal(pair), victim)
    yield Theft(pair, true, court.keeps(forged, stamped=False), court.keeps(forged))


def replaced(folder: Folder, files: dict[str, bytes | None]) -> Folder:
    """Whoever makes a folder up has its log tell of what is in it."""
    return relogged(test_judge.replaced(folder, files))


def _pass_a_second() -> None:
    """Lists count in whole seconds: the revocation is to be in a later one than the timestamps."""
    time.sleep(1)


def refusal(pair: Pair) -> p.Message:
    return dataclasses.replace(pair.b.machine.message(p.Receipt), outcome="refused", reason="never-came")


def stamps_of(folder: Folder) -> dict[str, bytes | None]:
    """All timestamps but the Receipt's and that of the log, which tells of another Receipt."""
    kept = {stamp_file(kind) for kind in ("Transfer", "Prepared", "Release")} | {f"{DIRECTORY}ca.pem"}
    return {name: data for name, data in folder.files.items() if name in kept}


def test_the_true_story_stands(court: Court, theft: Theft) -> None:
    """Also beside a list of after the theft: every message was there before."""
    judged = court.hears(theft.true, theft.lie)
    assert judged.cases[0].report.good
    assert judged.proves(B, "runs")


def test_an_archive_timestamp_shows_what_it_lists(court: Court, tmp_path: Path) -> None:
    """No message has a timestamp of its own: an authority was configured only later, and all was stamped together."""
    path = tmp_path / "db.sqlite"
    shutil.copy(court._empty, path)
    engine.use(sa.create_engine(f"sqlite:///{path}"))
    try:
        migration_id = court.store(court.pair().run().a)
        with engine.session() as session:
            row = migrations.get(session, migration_id)
        retention.restamp(row, evidence.files(kept(migration_id, court.a.name)), court.tsa, "sv2m-manage:root")
        saved = unpacked(evidence.archive(kept(migration_id, court.a.name)), court.a.name)
    finally:
        engine.current().dispose()
        engine.use(None)
    assert [name for name in saved.files if name.endswith(".tsr")] == [f"{DIRECTORY}archive-1.tsr"]
    case = verify(saved, court.roots)
    assert case.report.good
    assert set(case.times) == set(p.KINDS)


def test_a_receipt_without_a_timestamp_among_stamped_messages(court: Court, theft: Theft) -> None:
    """The other stamps show nothing of this one."""
    forged = replaced(theft.lie, stamps_of(theft.true))
    judged = court.hears(theft.true, forged)
    assert [off for off in judged.off if off.startswith(message_file("Receipt"))]
    assert judged.convicted == []


def test_the_list_of_the_other_side_tells_of_the_theft(court: Court, theft: Theft) -> None:
    """The thief leaves the list of after the revocation out of his folder; B has one."""
    forged = replaced(theft.lie, {**stamps_of(theft.true), CRL: theft.true.files[CRL]})
    b = replaced(theft.true, {CRL: theft.lie.files[CRL]})
    judged = court.hears(b, forged)
    assert judged.cases[0].report.good
    assert [off for off in judged.off if off.startswith(message_file("Receipt"))]
    assert judged.convicted == []


def test_the_judges_own_list_tells_of_the_theft(court: Court, theft: Theft) -> None:
    forged = replaced(theft.lie, {CRL: None})
    case = verify(forged, court.roots, lists=load_lists(theft.lie.files[CRL]))
    assert any("revoked" in one.text for one in case.report.bad)


@pytest.mark.parametrize("stamped", [True, False], ids=["among stamped messages", "without any timestamp"])
def test_nobody_knows_of_the_theft_yet(court: Court, theft: Theft, stamped: bool) -> None:
    """Only the list of the time before: the Receipt whose time is proved stands, and the other convicts nobody."""
    stamps = stamps_of(theft.true) if stamped else {}
    forged = replaced(theft.lie, {CRL: theft.true.files[CRL], **stamps})
    judged = court.hears(theft.true, forged)
    assert judged.off == []
    assert judged.convicted == []


def test_a_copy_without_the_true_timestamp_does_not_help_the_thief(court: Court, theft: Theft) -> None:
    """Nobody knows of the theft yet. Two Receipts without a proof of their time would be B's two faces; but of one of
    them there is another copy with its timestamp, and it stands."""
    forged = replaced(theft.lie, {CRL: theft.true.files[CRL]})
    bare = replaced(theft.true, {name: None for name in theft.true.files if name.startswith(DIRECTORY)})
    judged = court.hears(theft.true, bare, forged)
    assert judged.off == []
    assert judged.convicted == []


def test_a_thief_of_bs_key_does_not_answer_for_a(court: Court, theft: Theft) -> None:
    """A has held on to the VM, and shows a refusal that it had signed with B's stolen key: nobody knows of that yet,
    but the true Receipt has a proof of its time. A still owes one."""
    forged = replaced(theft.lie, {CRL: theft.true.files[CRL]})
    later = court.keeps(court.pair(migration_id=other_id(), generation=2).run("hear challenge").b)
    judged = court.hears(theft.true, forged, replaced(later, {CRL: theft.true.files[CRL]}))
    assert judged.off == []
    assert judged.convicted == []
    assert judged.owing == [court.a.name]


def test_a_timestamp_of_after_the_revocation_helps_nobody(court: Court, theft: Theft) -> None:
    judged = court.hears(theft.true, theft.late)
    assert [off for off in judged.off if off.startswith(message_file("Receipt"))]
    assert judged.convicted == []


def test_no_timestamps_at_all_and_a_revoked_certificate(court: Court, theft: Theft) -> None:
    """Nothing shows of any of B's messages that it was there before: they prove nothing, true or not."""
    bare = replaced(theft.true, {name: None for name in theft.true.files if name.startswith(DIRECTORY)})
    judged = court.hears(bare, theft.lie)
    assert {message_file(kind) for kind in ("TokenBA1", "TokenBA2", "Prepared", "Receipt")} <= {
        one.subject for one in judged.cases[0].report.bad
    }
    assert judged.convicted == []
    assert judged.proved == []


def _denial(court: Court, by: Identity) -> list[Folder]:
    pair = court.pair(b=by).run("hear receipt")
    lie = says_instead(pair.b, refusal(pair), by)
    return [court.keeps(pair.a, stamped=False), court.keeps(lie, stamped=False)]


def test_without_timestamps_a_list_of_today_lets_b_be_convicted(court: Court) -> None:
    """Whatever was signed, and when: the key is B's own today."""
    folders = _denial(court, court.b)
    assert court.hears(*folders).convicted == [(court.b.name, "two-faced")]


def test_without_timestamps_and_without_a_list_of_today_nobody_is_convicted(court: Court) -> None:
    """Years later, the lists of then say nothing of a key that was stolen in between."""
    years_later = datetime.now(UTC) + timedelta(days=400)
    judged = Judgement(verify_all(_denial(court, court.b), court.roots, now=years_later))
    assert judged.off == []
    assert judged.convicted == []
    notes = [one.text for case in judged.cases for one in case.report.findings if one.result == NOTE]
    assert any("list of today" in text for text in notes)


# -- the certificate has ended, and no list need name it any more
# --------------------------------------------------------------------------------------------------


LATER = timedelta(days=100)


@pytest.fixture(scope="module")
def late(court: Court) -> AtAnotherTime:
    """The authority when the certificates of today have ended."""
    return AtAnotherTime(court.authority, LATER)


@pytest.mark.parametrize("story", ["stamped", "stamped late"])
@pytest.mark.parametrize("lie", ["among stamped messages", "stamped late", "not stamped"])
def test_a_key_that_is_stolen_after_its_certificates_end_convicts_nobody(
    court: Court, late: AtAnotherTime, story: str, lie: str
) -> None:
    """No list will ever name it. The thief has his Receipt stamped as soon as he has signed it."""
    pair = court.pair().run("hear receipt")
    true = court.keeps(pair.a, by=late if story == "stamped late" else None)
    forged = court.keeps(says_instead(pair.a, refusal(pair), court.b), stamped=lie != "not stamped", by=late)
    if lie == "among stamped messages":
        forged = replaced(forged, stamps_of(court.keeps(pair.a)))
    judged = court.hears(true, forged, now=datetime.now(UTC) + LATER)
    assert judged.off == []
    assert judged.convicted == []
    assert judged.proves(court.b.name, "runs")


def test_a_key_that_is_stolen_after_the_end_of_its_ca_convicts_nobody(court: Court) -> None:
    """The cloud's own certificate would be valid still, but there is no CA any more that could say that it is not."""
    key, name = court.authority._key(), court.authority.certificate.subject
    usage = court.authority.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    ending = (
        pki.builder(name, key.public_key(), name, timedelta(), timedelta(days=50))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    pair = court.pair().run("hear receipt")
    true = court.keeps(pair.a)
    forged = says_instead(pair.a, refusal(pair), court.b)
    lie = replaced(court.keeps(forged, by=AtAnotherTime(court.authority, timedelta(days=60))), stamps_of(true))
    now = datetime.now(UTC) + timedelta(days=60)
    # The folders' copy of the CA's certificate is the one that lasts longer.
    bare = [replaced(one, {"certificates/ca.pem": None}) for one in (true, lie)]
    judged = Judgement(verify_all(bare, [ending], court.roots, now=now))
    assert judged.off == []
    assert judged.convicted == []
    assert judged.cases[0].is_dated("Receipt")
    assert not judged.cases[1].is_dated("Receipt")


def test_a_revocation_is_not_forgotten_at_the_certificates_end(court: Court, late: AtAnotherTime) -> None:
    """Whatever time the folder says, and though its first timestamp is of after the end."""
    victim = court.enrol(B)
    serial = court.authority.issued()[-1].serial_number
    lie = court.keeps(court.pair(b=victim).run("hear receipt").a, by=late)
    court.authority.revoke(serial)
    told = court.keeps(court.pair().run("hear challenge").a)
    judged = court.hears(lie, told, now=datetime.now(UTC) + LATER)
    assert [off for off in judged.off if off.startswith(message_file("Receipt")) and "revoked" in off]


@pytest.mark.parametrize("ended", [True, False], ids=["by a thief", "by A itself"])
def test_b_makes_up_a_gift_with_a_key_of_a_that_has_ended(court: Court, late: AtAnotherTime, ended: bool) -> None:
    """B's own Receipt is dated well; what it says that A gave is signed with A's old key. A, which has the VM all the
    time, moves it under its new certificate. If the Release was A's own while the key was, A has to answer for it."""
    long, new = Profile(last_day=300), Profile(first_day=95, last_day=300)
    b, c, a = court.enrol("cloud-d.sv2m", long), court.enrol("cloud-e.sv2m", long), court.enrol(court.a.name, new)
    gift = court.keeps(court.pair(b=b).run("hear receipt").b, by=late if ended else None)
    moved = court.keeps(court.pair(a=a, b=c, migration_id=other_id(), generation=2).run().a, by=late)
    judged = court.hears(gift, moved, now=datetime.now(UTC) + LATER)
    assert judged.off == []
    assert judged.proves(b.name, "runs")
    assert judged.convicted == []
    assert judged.owing == ([] if ended else [court.a.name])
