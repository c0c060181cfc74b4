# SPDX-License-Identifier: Apache-2.0
"""What was said once is said again: to B after a restart, after its database was lost, to another cloud, too old."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from sv2m import errors
from sv2m import protocol as p
from tests.attacks.backups import Backup
from tests.attacks.cloud_b import PROJECT, CloudB
from tests.attacks.federation import C, identity
from tests.protocol import clouds
from tests.unit.engine.recorder import Killed
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


# -- what has arrived, and an older database of B's -------------------------------------------------------------------


def everything(b: CloudB) -> list[object]:
    """What is the tenant's: volumes, ports and keys. His server is looked at by itself."""
    return [dict(b.storage.volumes), dict(b.neutron.ports), dict(b.keys.secrets)]


def restored(b: CloudB, backup: Backup, recorded: Sender) -> None:
    """B wakes up on an older database, somebody posts what A said, and B waits, gives up, and tidies up."""
    b.stop()
    backup.restore()
    b.start()
    play_again(b, recorded)
    b.look(later=timedelta(hours=3))
    b.tidy(later=timedelta(hours=4))


def backed_up(b: CloudB, phase: str) -> Backup:
    until = {"accepted": "TokenAB", "receiving": "Envelope", "prepared": "Transfer"}
    if phase in until:
        b.source.run(until[phase])
        assert b.phase == phase
    b.stop()
    backup = Backup()
    b.start()
    return backup


KEPT = [("none", "both"), ("accepted", "port"), ("receiving", "volume"), ("receiving", "port"), ("prepared", "both")]


@pytest.mark.parametrize(("phase", "keeps"), KEPT)
def test_the_owner_has_deleted_the_server_and_kept_its_volume_and_port(b: CloudB, phase: str, keeps: str) -> None:
    backup = backed_up(b, phase)
    recorded = b.source.run("Release" if phase == "prepared" else "Closure")
    b.carry_on()
    b.nova.servers.clear()
    # Cinder clones a volume's key for each backup, image and copy, by its name.
    clone = next(one for one in b.keys.secrets.values() if one.project == PROJECT)
    b.keys.store(clone.payload, name=clone.name, secret_type="symmetric", project_id=PROJECT)
    if keeps == "volume":
        b.neutron.ports.clear()
    if keeps == "port":
        b.storage.delete(*b.storage.volumes, 1)
    kept = everything(b)
    b.stop()
    backup.restore()
    b.start()
    with contextlib.suppress(errors.SV2MError):
        b.post(recorded.documents["Offer"])
    b.look(later=timedelta(hours=3))
    b.tidy(later=timedelta(hours=4))
    assert everything(b) == kept
    if phase == "prepared":
        assert b.refusal(recorded.documents["Release"]).code == "arrived-before"


@pytest.mark.parametrize("phase", ["none", "accepted", "receiving"])
def test_the_owner_has_taken_the_mark_off_his_server(b: CloudB, phase: str) -> None:
    backup = backed_up(b, phase)
    recorded = b.source.run()
    b.carry_on()
    (server,) = b.nova.servers.values()
    del server["arrived"]
    kept = everything(b)
    restored(b, backup, recorded)
    assert everything(b) == kept
    assert b.runs


def test_an_engine_is_killed_before_it_marks_the_volume_and_then_its_database_is_restored(b: CloudB) -> None:
    """The server's mark protects all of it; the older database's engine marks the rest, and gives it to its owner."""
    backup = backed_up(b, "receiving")
    b.recorder.kill_on = ("", "volumes.mark_arrived")
    with contextlib.suppress(Killed):
        b.source.run("Release")
        b.carry_on()
    b.stop()
    b.recorder.kill_on = None
    assert b.nova.find_arrived(b.source.id, PROJECT) and not b.storage.find_arrived(b.source.id, PROJECT)
    backup.restore()
    b.start()
    assert b.look(later=timedelta(hours=3)).error_code == "arrived-before"
    (server,) = b.nova.servers.values()
    assert (server["status"], server["locked"]) == ("ACTIVE", False)
    b.nova.servers.clear()
    kept = everything(b)
    b.stop()
    backup.restore()
    b.start()
    b.look(later=timedelta(hours=3))
    assert everything(b) == kept


def test_bs_database_restored_from_the_moment_at_which_the_placeholder_was_made(b: CloudB) -> None:
    """The next step there is to suspend it. It is the tenant's running server."""
    b.recorder.kill_on = ("", "servers.suspend")
    b.source.run("TokenAB")
    with contextlib.suppress(Killed, AssertionError):
        b.source.say("Envelope")
    b.stop()
    assert (b.phase, len(b.nova.servers)) == ("landing", 1)
    backup = Backup()
    b.recorder.kill_on = None
    b.start()
    b.source.run()
    b.carry_on()
    b.stop()
    backup.restore()
    b.start()
    assert b.look().error_code == "arrived-before"
    assert b.runs


def test_nothing_is_undone_of_what_was_only_offered(b: CloudB) -> None:
    """What bears its id is of another life of the same migration, even where no mark says so."""
    b.source.run("Offer")
    asked = {"migration_id": b.source.id, "project_id": PROJECT, "host": "compute-b"}
    b.nova.create_placeholder(**asked)
    b.storage.create(PROJECT, "root", 1, metadata={"sv2m_migration": b.source.id})
    b.neutron.create(b.source.id, PROJECT, "landing", "fa:16:3e:00:00:01")
    kept = everything(b)
    assert b.look(later=timedelta(hours=3)).phase == "undone"
    b.tidy(later=timedelta(hours=4))
    assert everything(b) == kept and b.nova.servers
