# SPDX-License-Identifier: Apache-2.0
"""What the clouds say in court, and what their own signatures say."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from datetime import timedelta

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.evidence import judge
from sv2m.evidence.folder import Folder, message_file
from sv2m.evidence.stamps import stamp_file
from tests.protocol import clouds
from tests.protocol.certificates import Identity
from tests.protocol.clouds import NOW, Pair, Side, other_id
from tests.unit.evidence.court import Court, Judgement, relogged, resigned

A, B = "cloud-a.sv2m", "cloud-b.sv2m"
ANOTHER = "manifest.xml: the trailer's signature is not the one that the Transfer names"


def replaced(folder: Folder, files: dict[str, bytes | None]) -> Folder:
    merged = {**folder.files, **files}
    return Folder(folder.name, {name: data for name, data in merged.items() if data is not None})


def signed(message: p.Message, by: Identity) -> p.Received:
    document = p.sign(p.encode(message), by.key, by.chain)
    return p.Received(message, p.verify(document, type(message).__name__, by.leaf).digest, document)


def says_instead(side: Side, message: p.Message, by: Identity) -> Side:
    """The same side, with another message in the place of one that was exchanged."""
    other = copy.copy(side)
    other.transcript = {**side.transcript, type(message).__name__: signed(message, by)}
    return other


def test_an_honest_migration_convicts_nobody(court: Court) -> None:
    pair = court.pair().run()
    judged = court.hears(court.keeps(pair.a), court.keeps(pair.b))
    assert judged.off == []
    assert judged.convicted == []
    assert judged.owing == []
    assert {(A, "sent"), (B, "received"), (A, "released"), (B, "runs"), (A, "removed")} <= set(judged.proved)


def test_a_denies_having_sent(court: Court) -> None:
    """A says: that VM was never mine. B brings what it received."""
    judged = court.hears(court.keeps(court.pair().run().b))
    assert judged.off == []
    for said in ("offered", "gave-keys", "sent", "released"):
        assert judged.proves(A, said), said


def test_b_denies_having_received(court: Court) -> None:
    """B says: nothing ever came. A brings B's own words."""
    judged = court.hears(court.keeps(court.pair().run().a))
    assert judged.off == []
    for said in ("accepted", "received", "runs"):
        assert judged.proves(B, said), said


def test_b_takes_the_vm_and_denies(court: Court) -> None:
    """B signed its Receipt, and now says that it never ran the VM: it even signs a refusal for the judge."""
    pair = court.pair().run("hear receipt")
    receipt = pair.b.machine.message(p.Receipt)
    refusal = dataclasses.replace(receipt, outcome="refused", reason="never-came")
    denial = court.keeps(says_instead(pair.b, refusal, court.b))
    judged = court.hears(court.keeps(pair.a), denial)
    assert judged.off == []
    assert judged.convicted == [(B, "two-faced")]


def test_b_takes_the_vm_and_is_silent(court: Court) -> None:
    """B holds the VM, was ordered to run it, and answers nothing. It is not convicted of running; it owes an answer."""
    judged = court.hears(court.keeps(court.pair().run("commit").a))
    assert judged.off == []
    assert judged.convicted == []
    assert judged.proves(B, "received")
    assert judged.owing == [B]


def test_b_is_silent_only_until_it_answers(court: Court) -> None:
    pair = court.pair().run("commit")
    early = court.keeps(pair.a)
    judged = court.hears(early, court.keeps(pair.run().b))
    assert judged.off == []
    assert judged.owing == []


@pytest.mark.parametrize("until", ["told", "commit"])
def test_an_accomplice_answers_for_b(court: Court, until: str) -> None:
    """Another cloud, for which B is the source, holds a migration of the same id with it, and answers, or owes in its
    turn. What B owes A it owes all the same, in whatever order the folders are shown."""
    silent = court.keeps(court.pair().run("commit").a)
    accomplice = court.enrol("cloud-m.sv2m")
    beside = court.keeps(court.pair(a=court.b, b=accomplice).run(until).a)
    for folders in ((silent, beside), (beside, silent)):
        judged = court.hears(*folders)
        assert judged.off == []
        assert sorted(judged.owing) == ([B] if until == "told" else [B, "cloud-m.sv2m"])
        assert judged.convicted == []


def test_an_accomplice_does_not_speak_over_what_b_signed(court: Court) -> None:
    """B shows first that it runs another VM, which an accomplice sent it under the same id."""
    true = court.keeps(court.pair().run().a)
    other = court.pair(a=court.enrol("cloud-m.sv2m")).run()
    judged = court.hears(court.keeps(other.b), true)
    assert judged.off == []
    said = [fact.text for fact in judge.facts(judged.cases) if (fact.cloud, fact.code) == (B, "runs")]
    named = hashlib.sha384(true.files["manifest.xml"]).hexdigest()
    assert len(said) == 2
    assert any(named in text and A in text for text in said)


def test_b_claims_another_vm(court: Court) -> None:
    """B says: what came was another VM. The Transfer that it shows is one that A never signed."""
    pair = court.pair().run()
    other = dataclasses.replace(pair.a.machine.message(p.Transfer), sealed_signature=b"another" * 20)
    lie = court.keeps(says_instead(pair.b, other, court.b))
    judged = court.hears(court.keeps(pair.a), lie)
    assert any(message_file("Transfer") in off for off in judged.off), "B's forgery is found"
    assert judged.convicted == []
    assert judged.proves(B, "received"), "A's files hold B to exactly the Envelope and Transfer that A signed"
    prepared = judged.cases[0].transcript.message(p.Prepared)
    assert prepared.transfer_digest == judged.cases[0].transcript.digest(p.Transfer)


def test_b_claims_another_vm_with_another_manifest(court: Court) -> None:
    """B says: I run what this manifest lists. It even has A's signature, for this very session; but B's own Receipt is
    about the Transfer that names the other one, and of that one A has the file."""
    pair = court.pair().run()
    honest, b = court.keeps(pair.a), court.keeps(pair.b)
    lie = relogged(replaced(b, {"manifest.xml": resigned(b.files["manifest.xml"], court.a)}))
    judged = court.hears(honest, lie)
    assert judged.off == [ANOTHER]
    assert judged.proves(B, "runs"), "by A's files alone"
    (runs,) = [fact for fact in judge.facts(judged.cases) if fact.code == "runs"]
    assert (runs.cloud, runs.document) == (B, "Receipt")
    assert hashlib.sha384(honest.files["manifest.xml"]).hexdigest() in runs.text
    assert hashlib.sha384(lie.files["manifest.xml"]).hexdigest() not in runs.text
    # And the file says which bytes these are: what A sent, not what B says that came.
    _, listed = p.verify_manifest(honest.files["manifest.xml"], court.a.leaf)
    proved = p.Manifest.from_xml(listed)
    proved.compare(clouds.manifest())
    claimed = p.Manifest()
    for stream, index, digest in proved:
        claimed.add(stream, index, hashlib.sha256(b"B says that this came").digest() if index else digest)
    with pytest.raises(errors.IntegrityError, match="is not what the source signed"):
        proved.compare(claimed)


def test_a_shows_another_manifest_afterwards(court: Court) -> None:
    """A says that B runs another VM than it sent: it signs a second trailer of the session when VMK is long gone."""
    pair = court.pair().run()
    a = court.keeps(pair.a)
    lie = relogged(replaced(a, {"manifest.xml": resigned(a.files["manifest.xml"], court.a)}))
    judged = court.hears(lie, court.keeps(pair.b))
    assert judged.off == [ANOTHER]
    assert judged.proves(B, "runs"), "by B's files, which name what came"


def test_a_trailer_without_a_transfer_is_a_note(court: Court) -> None:
    """A keeps the trailer before it signs the Transfer; an abort may come between the two."""
    pair = court.pair().run("envelope taken")
    folder = relogged(replaced(court.keeps(pair.a), {"manifest.xml": pair.trailer()}))
    judged = court.hears(folder)
    assert judged.off == []
    assert ("manifest.xml", "note") in [(one.subject, one.result) for one in judged.cases[0].report.findings]
    assert not judged.proves(A, "sent")


def test_a_shows_the_judge_another_vm_than_it_sent(court: Court) -> None:
    """The other way round: A signs a second Transfer after the fact. B's Prepared does not fit it."""
    pair = court.pair().run()
    other = dataclasses.replace(pair.a.machine.message(p.Transfer), sealed_signature=b"another" * 20)
    lie = court.keeps(says_instead(pair.a, other, court.a))
    judged = court.hears(lie, court.keeps(pair.b))
    assert any(message_file("Prepared") in off for off in judged.off)
    assert not any(B in off for off in judged.off)


def test_a_signs_two_transfers_of_one_session(court: Court) -> None:
    """Shown before B's answer, both are good by themselves, and an A that was restored from a backup signs the second
    one in all honesty. Once B has answered, only the one that B names fits."""
    pair = court.pair().run("seal")
    other = dataclasses.replace(pair.a.machine.message(p.Transfer), sealed_signature=b"another" * 20)
    second = says_instead(pair.a, other, court.a)
    judged = court.hears(court.keeps(pair.a), court.keeps(second))
    assert (judged.off, judged.convicted) == ([], [])
    pair.run()
    second = says_instead(pair.a, other, court.a)
    judged = court.hears(court.keeps(pair.b), court.keeps(second))
    assert any(message_file("Prepared") in off for off in judged.off)
    assert judged.convicted == []
    assert judged.proves(B, "runs")


def later(message: p.Message) -> p.Message:
    """What the same honest cloud signs when it does the step again: after a restart from a backup, much later."""
    again: dict[type, dict[str, object]] = {
        p.Offer: {"not_after": NOW + timedelta(hours=9)},
        p.TokenBA1: {"nonce_b": clouds.nonce("C")},
        p.TokenAB: {"nonce_a": clouds.nonce("C")},
        p.TokenBA2: {"decision": p.Refused("no-room", "there is no room any more")},
        p.Envelope: {"keys": _wrapped_again(message) if isinstance(message, p.Envelope) else ()},
        p.Transfer: {"sealed_signature": b"another" * 20},
        p.Prepared: {},
        p.Release: {"released_at": NOW + timedelta(minutes=9)},
        p.Receipt: {"at": NOW + timedelta(hours=9)},
        p.Closure: {"outcome": "withdrawn", "receipt_digest": p.NOTHING, "at": NOW + timedelta(hours=9)},
    }
    return dataclasses.replace(message, **again[type(message)])  # type: ignore[arg-type]


def _wrapped_again(envelope: p.Envelope) -> tuple[p.WrappedKey, ...]:
    return tuple(dataclasses.replace(key, cipher_value=key.cipher_value[::-1]) for key in envelope.keys)


@pytest.fixture(scope="module")
def over(court: Court) -> Pair:
    return court.pair().run()


@pytest.fixture(scope="module")
def both(court: Court, over: Pair) -> list[Folder]:
    return [court.keeps(over.a), court.keeps(over.b)]


@pytest.mark.parametrize("kind", p.KINDS)
def test_a_cloud_that_does_a_step_again_is_honest(court: Court, over: Pair, both: list[Folder], kind: str) -> None:
    """Its database was restored from a backup of the moment before; any stranger who recorded what its peer had said
    can post it again, and shows the judge both answers."""
    side, by = (over.b, court.b) if kind in ("TokenBA1", "TokenBA2", "Prepared", "Receipt") else (over.a, court.a)
    second = signed(later(side.machine.message(p.KINDS[kind])), by)
    before = list(p.KINDS)[: list(p.KINDS).index(kind)]
    again = copy.copy(side)
    again.transcript = {**{one: side.transcript[one] for one in before}, kind: second}
    judged = court.hears(*both, court.keeps(again, stamped=False))
    assert judged.off == []
    assert judged.convicted == []


def test_a_restored_b_answers_a_replayed_offer_once_more(court: Court) -> None:
    """The Offer and the second TokenBA1 are all that the stranger has; the true folder lies beside it."""
    pair = court.pair().run()
    fresh = court.pair()
    fresh.offer = pair.a.machine.message(p.Offer)
    fresh.a.transcript = {
        "Offer": pair.a.transcript["Offer"],
        "TokenBA1": signed(later(pair.b.machine.message(p.TokenBA1)), court.b),
    }
    judged = court.hears(court.keeps(pair.b), court.keeps(fresh.a, stamped=False))
    assert judged.off == []
    assert judged.convicted == []
    assert judged.proves(B, "runs")


def test_a_claims_to_have_deleted_but_ran_on(court: Court) -> None:
    """A's Closure says removed. Later it offers the very same VM to C: it had it all the time."""
    first = court.pair().run()
    third = court.enrol("cloud-c.sv2m")
    again = court.pair(migration_id=other_id(), generation=2, b=third).run("hear challenge")
    judged = court.hears(court.keeps(first.b), court.keeps(again.b))
    assert judged.off == []
    assert judged.proves(A, "removed")
    assert judged.convicted == [(A, "held-on")]


def test_b_says_for_a_that_it_refused_after_all(court: Court) -> None:
    """Nobody else's word undoes A's Closure: B, who has signed both, is convicted beside it."""
    first = court.pair().run()
    favour = copy.copy(first.b)
    favour.transcript = {kind: one for kind, one in first.b.transcript.items() if kind != "Closure"}
    receipt = first.b.machine.message(p.Receipt)
    favour = says_instead(favour, dataclasses.replace(receipt, outcome="refused", reason="host-died"), court.b)
    again = court.pair(migration_id=other_id(), generation=2).run("hear challenge")
    judged = court.hears(court.keeps(first.b), court.keeps(favour), court.keeps(again.b))
    assert judged.off == []
    assert judged.convicted == [(A, "held-on"), (B, "two-faced")]


@pytest.mark.parametrize("until", ["hear receipt", "commit"])
def test_a_ran_on_and_never_said_that_it_deleted(court: Court, until: str) -> None:
    """A's Release gave its right up. Only B's refusal gives it back, so A must show it: B's Receipt alone, and B's
    silence, convict nobody but B."""
    first = court.pair().run(until)
    again = court.pair(migration_id=other_id(), generation=2).run("hear challenge")
    judged = court.hears(court.keeps(first.a), court.keeps(again.b))
    assert judged.off == []
    assert judged.convicted == []
    assert judged.owing == ([A] if until == "hear receipt" else [B, A])
    (owed,) = [one for one in judge.owing(judged.cases) if one.cloud == A]
    assert (owed.code, owed.document) == ("owes-refusal", "Release")


@pytest.mark.parametrize("until", ["hear challenge", "hear prepared"])
def test_an_earlier_try_is_no_crime(court: Court, until: str) -> None:
    """A tried before, withdrew, and tried again: the VM was A's all the while."""
    before = court.pair(migration_id=other_id(), generation=1).run(until)
    moved = court.pair(generation=2).run()
    judged = court.hears(court.keeps(before.b), court.keeps(moved.b))
    assert judged.off == []
    assert judged.convicted == []


def test_a_may_offer_again_what_b_refused_to_run(court: Court) -> None:
    pair = court.pair().run("hear release")
    pair.b.local(p.CannotResume("host-died", NOW))
    again = court.pair(migration_id=other_id(), generation=2).run("hear challenge")
    judged = court.hears(court.keeps(pair.b), court.keeps(again.b))
    assert judged.off == []
    assert judged.proves(B, "refused")
    assert judged.convicted == []
    assert judged.owing == []


@dataclasses.dataclass
class Refusal:
    """B could not run the VM, A took it back and offered it again; and B signs for the judge that it resumed.

    :param pair: with the true Receipt.
    :param lie: B's side, with the other one.
    :param again: the later offer, as B keeps it.
    """

    pair: Pair
    lie: Side
    again: Folder


@pytest.fixture(scope="module")
def refusal(court: Court) -> Refusal:
    pair = court.pair().run("hear release")
    pair.b.local(p.CannotResume("host-died", NOW))
    resumed = dataclasses.replace(pair.b.machine.message(p.Receipt), outcome="resumed", reason="none")
    again = court.keeps(court.pair(migration_id=other_id(), generation=2).run("hear challenge").b)
    return Refusal(pair, says_instead(pair.b, resumed, court.b), again)


@pytest.mark.parametrize("stamped", [True, False])
def test_b_refuses_and_says_afterwards_that_it_resumed(court: Court, refusal: Refusal, stamped: bool) -> None:
    """A shows the Receipt by which it took its VM back. A lie without a proof of its time may be a thief's; one with
    one is B's own."""
    a, b = court.keeps(refusal.pair.b), court.keeps(refusal.lie, stamped=stamped)
    judged = court.hears(a, b, refusal.again)
    assert judged.off == []
    assert judged.convicted == ([(B, "two-faced")] if stamped else [])
    assert judged.owing == []


def test_b_says_that_it_resumed_and_a_is_not_there(court: Court, refusal: Refusal) -> None:
    """B's word alone convicts nobody: A has not been asked for what it has."""
    judged = court.hears(court.keeps(refusal.lie), refusal.again)
    assert judged.off == []
    assert judged.convicted == []
    assert judged.owing == [A]


def test_b_stamps_its_lie_and_a_has_no_timestamp(court: Court, refusal: Refusal) -> None:
    """Who of both signed with B's key cannot be told: neither is convicted. A's answer is not proved, either."""
    judged = court.hears(court.keeps(refusal.pair.b, stamped=False), court.keeps(refusal.lie), refusal.again)
    assert judged.off == []
    assert judged.convicted == []
    assert judged.owing == [A]


def test_a_thief_of_as_old_key_gives_its_vm_away(court: Court) -> None:
    """With an accomplice, whose own key is good: nobody but the thief says that A's VM was given away."""
    accomplice = court.enrol("cloud-m.sv2m")
    forged = court.keeps(court.pair(b=accomplice).run().b, stamped=False)
    again = court.keeps(court.pair(migration_id=other_id(), generation=2).run("hear challenge").b)
    forged_case, again_case = court.hears(forged, again).cases
    old = dataclasses.replace(forged_case, current=frozenset({"destination"}))
    judged = Judgement([old, again_case])
    assert judged.off == []
    assert judged.convicted == []
    assert judged.owing == []


def test_a_cloud_without_the_roots_certificate_says_nothing(court: Court) -> None:
    """Somebody makes up a whole migration under a CA of his own."""
    pair = Pair()  # certificates that no root of the court vouches for
    pair.offer = clouds.offer(pair.a.identity, B)
    judged = court.hears(court.keeps(pair.run().a))
    assert judged.off
    assert judged.proved == []


PROVING = [
    *(message_file(kind) for kind in p.KINDS),
    *(stamp_file(kind) for kind in ("Transfer", "Prepared", "Release", "Receipt", "Closure")),
    "certificates/source.pem",
    "certificates/destination.pem",
    "certificates/ca.pem",
    "certificates/crl.pem",
    "manifest.xml",
    "audit/",
    "timestamps/audit-",
    "timestamps/ca.pem",
]


@pytest.fixture(scope="module")
def whole(court: Court) -> Folder:
    return court.keeps(court.pair().run().b)


@pytest.mark.parametrize("begins", PROVING)
@pytest.mark.parametrize("how", ["changed", "cut", "removed", "emptied"])
def test_tampered_files_convict_nobody(court: Court, whole: Folder, begins: str, how: str) -> None:
    (name,) = [one for one in whole.files if one.startswith(begins)]
    data = whole.files[name]
    middle = len(data) // 2
    tampered = {
        "changed": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "cut": data[: middle - 1],
        "removed": None,
        "emptied": b"",
    }[how]
    again = court.keeps(court.pair(migration_id=other_id(), generation=2).run("hear challenge").b)
    judged = court.hears(replaced(whole, {name: tampered}), again)
    if how == "removed" and (name in COPIES or begins == "timestamps/audit-"):
        return  # nothing rests on a copy that is not there
    assert judged.off, f"{name} was {how}, and nobody noticed"
    assert judged.convicted == []
    assert not judged.proves(A, "sent")


#: What may be missing: what is in the messages anyhow, or is noted as missing.
COPIES = (
    "certificates/ca.pem",
    "certificates/crl.pem",
    "timestamps/ca.pem",
    "manifest.xml",
    *(stamp_file(kind) for kind in p.KINDS),
)


def test_what_is_missing_without_being_proved_is_noted(court: Court, whole: Folder) -> None:
    judged = court.hears(replaced(whole, {stamp_file("Release"): None}))
    notes = [one.subject for case in judged.cases for one in case.report.findings if one.result == "note"]
    assert message_file("Release") in notes


def test_the_messages_of_two_migrations_do_not_mix(court: Court, whole: Folder) -> None:
    other = court.keeps(court.pair(migration_id=other_id()).run().b)
    for kind in p.KINDS:
        name = message_file(kind)
        judged = court.hears(replaced(whole, {name: other.files[name]}))
        assert judged.off, kind
        assert judged.convicted == []


def test_a_revoked_clouds_word_counts_until_its_revocation(court: Court) -> None:
    thief = court.enrol("cloud-t.sv2m")
    serial = court.authority.issued()[-1].serial_number
    before = court.keeps(court.pair(b=thief).run().a)
    court.authority.revoke(serial)
    after = court.keeps(court.pair(b=thief).run().a)
    assert court.hears(before).off == []
    assert any("revoked" in off for off in court.hears(after).off)
