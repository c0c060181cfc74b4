# SPDX-License-Identifier: Apache-2.0
"""Two machines on a fake link: to the end, and back from everywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import states
from tests.protocol import certificates
from tests.protocol.clouds import NOW, Pair, Side, nonce

STEPS = list(Pair().steps)
BEFORE_COMMIT = STEPS[: STEPS.index("commit")]


def test_a_migration_to_its_end() -> None:
    pair = Pair().run()
    assert (pair.a.machine.phase, pair.b.machine.phase) == ("closed", "closed")
    assert set(pair.a.transcript) == set(pair.b.transcript) == set(p.KINDS)
    assert pair.a.machine.sid == pair.b.machine.sid
    assert pair.a.machine.context_digest == pair.b.machine.context_digest


@pytest.mark.parametrize("step", STEPS)
def test_both_sides_killed_after_every_step(step: str) -> None:
    pair = Pair().run(step)
    phases = pair.a.machine.phase, pair.b.machine.phase
    pair.a.restart()
    pair.b.restart()
    assert (pair.a.machine.phase, pair.b.machine.phase) == phases
    pair.run()
    assert (pair.a.machine.phase, pair.b.machine.phase) == ("closed", "closed")


@pytest.mark.parametrize("step", STEPS)
def test_what_a_restart_finds_to_do_is_what_was_to_be_done(step: str) -> None:
    pair = Pair()
    last: dict[str, list[p.Action]] = {"source": [], "destination": []}
    for name, run in pair.steps.items():
        before = {side.role: (side.machine.phase, len(side.transcript)) for side in (pair.a, pair.b)}
        actions = run()
        for side in (pair.a, pair.b):
            if (side.machine.phase, len(side.transcript)) != before[side.role]:
                last[side.role] = [
                    action for action in actions if not isinstance(action, (p.Send, p.Acknowledge))
                ]
        if name == step:
            break
    for side in (pair.a, pair.b):
        side.restart()
        found = [
            action
            for action in side.machine.pending()
            if not isinstance(action, (p.Resend, p.Acknowledge, p.MakeNonce, p.MakeChallenge))
        ]
        kept = [
            action for action in last[side.role] if not isinstance(action, (p.MakeNonce, p.MakeChallenge))
        ]
        assert found == kept


@pytest.mark.parametrize("step", STEPS)
def test_every_document_twice_changes_nothing_and_gets_the_same_answer(step: str) -> None:
    pair = Pair().run(step)
    for side, peer in ((pair.a, pair.b), (pair.b, pair.a)):
        for kind in states.RECEIVES[side.role]:
            if kind not in side.transcript:
                continue
            before = side.snapshot()
            actions = side.receive(peer.document(kind))
            assert side.snapshot() == before
            reply = states.REPLIES.get(kind)
            if reply in side.transcript and side.role == "destination":
                assert actions == [p.Resend(reply)]
            else:
                assert all(isinstance(action, p.Acknowledge) for action in actions)


def test_an_envelope_asked_again_is_acknowledged_only_when_the_landing_place_is_ready() -> None:
    pair = Pair().run("hear envelope")
    assert pair.b.receive(pair.a.document("Envelope")) == []
    pair.run("land")
    pair.b.restart()
    assert pair.b.receive(pair.a.document("Envelope")) == [p.Acknowledge("Envelope")]


@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_the_source_gives_up_before_the_commit(step: str) -> None:
    pair = Pair().run(step)
    actions = pair.a.local(p.Failed("aborted"))
    assert actions == [p.Undo()]
    assert pair.a.machine.phase == "withdrawing"
    actions = pair.a.local(p.Undone(NOW))
    assert pair.a.machine.phase == "telling"
    if pair.a.transcript.keys() >= {"TokenBA2"}:
        assert pair.a.machine.message(p.Closure).outcome == "withdrawn"
        actions = pair.b.receive(pair.a.document("Closure"))
        assert actions == [p.Acknowledge("Closure"), p.Undo()]
        pair.b.local(p.Undone(NOW))
        assert pair.b.machine.phase == "undone"
    else:
        assert actions == []
    assert pair.a.local(p.Told()) == []
    assert pair.a.machine.phase == "withdrawn"


def _gives_up(pair: Pair) -> None:
    assert pair.b.local(p.Failed("source-silent")) == [p.Undo()]
    pair.b.local(p.Undone(NOW))
    assert pair.b.machine.phase == "undone"


@pytest.mark.parametrize("step", STEPS[STEPS.index("challenge") : STEPS.index("hear release")])
def test_the_destination_gives_up_before_the_release(step: str) -> None:
    _gives_up(Pair().run(step))


def test_a_release_that_comes_too_late_is_refused_once_and_the_vm_goes_back() -> None:
    pair = Pair().run("commit")
    _gives_up(pair)
    (send,) = pair.b.receive(pair.a.document("Release"))
    assert isinstance(send, p.Send) and send.message.outcome == "refused"
    receipt = pair.b.document("Receipt")
    for _ in range(2):
        pair.b.restart()
        assert pair.b.receive(pair.a.document("Release")) == [p.Resend("Receipt")]
    assert pair.a.receive(receipt) == [p.ReturnVM()]
    pair.a.restart()
    assert pair.a.machine.pending() == [p.ReturnVM()]
    assert pair.a.local(p.Undone(NOW)) == []
    assert pair.a.machine.phase == "returned"


def test_a_release_while_undoing_is_refused_and_undoing_goes_on() -> None:
    pair = Pair().run("commit")
    pair.b.local(p.Failed("host-died"))
    send, undo = pair.b.receive(pair.a.document("Release"))
    assert isinstance(send, p.Send) and undo == p.Undo()
    assert pair.b.machine.phase == "undoing"


def test_a_destination_that_never_said_prepared_does_not_believe_a_release() -> None:
    forger, honest = Pair().run("commit"), Pair().run("land")
    _gives_up(honest)
    release = forger.a.sign(forger.a.machine.message(p.Release))
    with pytest.raises(errors.PeerError):
        honest.b.machine.receive(release, NOW)
    assert "Receipt" not in honest.b.transcript


def test_the_restored_vm_is_gone_before_it_ran() -> None:
    pair = Pair().run("hear release")
    send, undo = pair.b.local(p.CannotResume("host-died", NOW))
    assert (send.message.outcome, send.message.reason, undo) == ("refused", "host-died", p.Undo())
    assert pair.a.receive(pair.b.document("Receipt")) == [p.ReturnVM()]
    pair.b.local(p.Undone(NOW))
    assert pair.b.machine.phase == "undone"
    # Exactly one outcome, ever.
    for event in (p.Resumed(NOW), p.CannotResume("again", NOW)):
        with pytest.raises(errors.IllegalTransition):
            pair.b.local(event)


def test_b_refuses_for_lack_of_room() -> None:
    pair = Pair().run("hear token")
    pair.b.local(p.RoomRefused(p.Refused("no-room", "memory_mb: 128 of 64 free")))
    assert pair.a.receive(pair.b.document("TokenBA2")) == []
    assert (pair.a.machine.phase, pair.b.machine.phase) == ("refused", "refused")


def test_after_the_release_the_source_cannot_withdraw() -> None:
    pair = Pair().run("commit")
    for event in (p.Failed("aborted"), p.Undone(NOW), p.Removed(NOW)):
        with pytest.raises(errors.IllegalTransition):
            pair.a.local(event)
    assert pair.a.machine.phase == "released"


def test_the_source_does_not_commit_after_not_after() -> None:
    pair = Pair().run("hear prepared")
    with pytest.raises(errors.IllegalTransition) as caught:
        pair.a.local(p.Committed(NOW + timedelta(hours=2)))
    assert caught.value.code == "deadline-passed"
    assert pair.a.machine.phase == "prepared"


def test_prepared_is_not_signed_before_the_trailer_was_checked() -> None:
    pair = Pair().run("hear transfer")
    with pytest.raises(errors.IllegalTransition, match="trailer"):
        pair.b.local(p.Restored())


def test_nothing_goes_on_before_a_message_was_signed() -> None:
    pair = Pair()
    machine = pair.a.machine
    machine.local(p.OfferRequested(pair.offer))
    with pytest.raises(errors.IllegalTransition, match="signed first"):
        machine.local(p.Failed("aborted"))
    with pytest.raises(errors.IllegalTransition, match="not what was to be signed"):
        machine.sent(pair.b.sign(p.TokenBA1(pair.offer.migration_id, p.Party("x", (b"x",)), nonce("x"))))


def test_our_own_wrapped_keys_must_fit_the_plan() -> None:
    pair = Pair().run("hear decision")
    keys = pair.keys()
    with pytest.raises(errors.LocalError, match="EIK") as caught:
        pair.a.local(p.KeysWrapped(keys[:1], Pair().run("wrap").a.machine.message(p.Envelope).streams))
    assert not isinstance(caught.value, errors.PeerError)
    assert pair.a.machine.phase == "accepted"


def test_a_challenge_before_an_offer() -> None:
    b = certificates.identity("cloud-b.sv2m")
    side = Side("destination", b, b)
    with pytest.raises(errors.IllegalTransition, match="answers Offer"):
        side.local(p.ChallengeDue(p.Party(b.name, b.chain), nonce("B"), NOW))


def test_restore_refuses_what_is_no_migration() -> None:
    pair = Pair().run()
    transcript = pair.a.transcript
    with pytest.raises(errors.LocalError):
        p.Migration.restore("source", "cloud-a.sv2m", "landing", transcript)
    with pytest.raises(errors.LocalError):
        p.Migration.restore("spectator", "cloud-a.sv2m", "closed", transcript)
    with pytest.raises(errors.LocalError):
        p.Migration.restore("source", "cloud-a.sv2m", "closed", {"Offer": transcript["Release"]})
