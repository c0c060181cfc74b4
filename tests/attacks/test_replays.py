# SPDX-License-Identifier: Apache-2.0
"""What was said once is said again: to B after a restart, after its database was lost, to another cloud, too old."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sv2m import errors
from sv2m import protocol as p
from tests.attacks.backups import Backup
from tests.attacks.cloud_b import CloudB
from tests.attacks.federation import C, identity
from tests.protocol import clouds
from tests.unit.engine.sender import WORDS, Sender


def play_again(b: CloudB, recorded: Sender) -> list[bytes | errors.SV2MError | None]:
    """Somebody posts everything that A said, in its order, and takes whatever comes back."""
    answers: list[bytes | errors.SV2MError | None] = []
    for kind in WORDS:
        try:
            answers.append(b.post(recorded.documents[kind]))
        except errors.SV2MError as error:
            answers.append(error)
    return answers


def test_a_whole_migration_played_again_after_bs_restart(b: CloudB) -> None:
    recorded = b.source.run()
    b.carry_on()
    calls = len(b.recorder.calls)
    b.stop()
    b.start()
    answers = play_again(b, recorded)
    said = [recorded.documents[word] for word in ("TokenBA1", "TokenBA2", "Prepared", "Receipt")]
    assert [one for one in answers if one is not None] == said
    assert len(b.recorder.calls) == calls
    assert b.runs


def test_a_whole_migration_played_again_after_b_lost_its_database(b: CloudB) -> None:
    """The ledger is gone as well. B's nonce is not: without A's answer to it nothing begins, and nothing ends."""
    yesterday = Backup()
    recorded = b.source.run()
    b.carry_on()
    assert b.runs
    b.stop()
    yesterday.restore()
    b.start()
    token, *rest = play_again(b, recorded)
    assert isinstance(token, bytes)
    assert token != recorded.documents["TokenBA1"]
    assert all(isinstance(one, errors.PeerError) for one in rest)
    row = b.look(later=timedelta(hours=3))
    assert (row.phase, row.status) == ("undone", "failed")
    assert b.runs, "what arrived yesterday must not be taken for a leftover of today's failure"


@pytest.mark.parametrize("phase", ["accepted", "receiving", "prepared"])
def test_bs_database_restored_from_the_middle_of_a_migration(b: CloudB, phase: str) -> None:
    """The server runs at B, and A has removed its own; B's database says that it is still arriving."""
    until = {"accepted": "TokenAB", "receiving": "Envelope", "prepared": "Transfer"}[phase]
    b.source.run(until)
    b.stop()
    assert b.phase == phase
    backup = Backup()
    b.start()
    b.source.run()
    b.carry_on()
    assert b.runs
    b.stop()
    backup.restore()
    b.start()
    b.look(later=timedelta(hours=3))
    assert b.nova.servers, "the one copy there is was deleted"
    assert b.storage.volumes


def test_bs_database_restored_while_a_waits_for_its_receipt(b: CloudB) -> None:
    """The server runs at B, A has not heard of it yet; B's database says that it gave up. A must not be told so."""
    b.source.run("Transfer")
    b.stop()
    backup = Backup()
    b.start()
    b.source.run("Release")
    b.carry_on()
    b.stop()
    backup.restore()
    b.start()
    assert b.look(later=timedelta(hours=3)).phase == "undone"
    refusal = b.refusal(b.source.documents["Release"])
    assert (refusal.code, refusal.fault) == ("arrived-before", "host")
    assert b.runs


def test_an_older_state_of_the_same_server(b: CloudB) -> None:
    b.source = b.sender(vm=clouds.NEEDS["vm"], generation=7)  # type: ignore[arg-type]
    b.source.run()
    b.carry_on()
    for generation in (7, 6, 1):
        older = b.sender(vm=b.source.offer.needs.vm, generation=generation)
        older.run("TokenAB")
        decision = older.side.machine.message(p.TokenBA2).decision
        assert isinstance(decision, p.Refused)
        assert decision.code == "replayed-message"
        assert not b.lmm.held
    assert b.runs
    newer = b.sender(vm=b.source.offer.needs.vm, generation=8).run("TokenAB")
    assert newer.accepted


def test_the_same_migration_id_for_another_offer(b: CloudB) -> None:
    b.source.run()
    b.carry_on()
    again = b.sender(migration_id=b.source.id, generation=9)
    assert isinstance(b.refusal(again.make("Offer")), errors.ReplayedMessage)
    assert b.runs


def test_another_peer_takes_the_id_of_as_migration(b: CloudB) -> None:
    """C is a peer as well; it may neither answer in A's migration nor take its place."""
    b.source.run("TokenAB")
    thief = b.sender(me=identity(C), migration_id=b.source.id)
    assert b.refusal(thief.make("Offer")).fault == "peer"
    b.source.run()
    b.carry_on()
    assert b.runs


def test_what_a_signed_for_another_cloud(b: CloudB) -> None:
    """Surreptitious forwarding: the cloud that A meant hands A's signed words on to us, as they are."""
    meant = b.sender(to=identity(C))
    other = clouds.Pair(meant.side.identity, identity(C))
    other.offer = meant.offer
    other.run()
    for kind in WORDS:
        document = other.a.document(kind)
        error = b.refusal(document)
        assert error.code == ("wrong-party" if kind == "Offer" else "not-found")
    assert b.rows == 0
    assert b.untouched


def test_a_peer_hands_as_server_on_as_its_own(b: CloudB) -> None:
    """C received A's server, and offers it to us in its own name with A's signed manifest: it binds A and C."""
    received = clouds.Pair(identity(C), identity("cloud-a.sv2m")).run("hear transfer")
    b.source = b.sender(me=identity(C))
    b.source.run("Envelope")
    theirs = received.a.machine.message(p.Transfer)
    b.source.make("Transfer", trailer_digest=theirs.trailer_digest, sealed_signature=theirs.sealed_signature)
    error = b.refusal(b.source.side.document("Transfer"))
    assert error.fault == "peer"
    assert b.carry_on().error_code == "integrity-error"
    assert b.untouched


def test_a_second_copy_of_one_server_at_the_same_moment(b: CloudB) -> None:
    """Two offers of one state under two ids: the ledger lets one in."""
    one, two = (b.sender(vm=b.source.offer.needs.vm, generation=3) for _ in range(2))
    one.run("Offer")
    two.run("Offer")
    one.run("TokenAB")
    two.run("TokenAB")
    assert one.accepted
    assert isinstance(two.side.machine.message(p.TokenBA2).decision, p.Refused)
