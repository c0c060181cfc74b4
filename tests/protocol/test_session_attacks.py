# SPDX-License-Identifier: Apache-2.0
"""Well-signed messages used where they do not belong: other sessions, other parties, other times, our own
reflected.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import states
from tests.protocol import certificates
from tests.protocol.clouds import NOW, PLAN, SUMMARIES, Pair, manifest, nonce, offer, other_id

#: Message -> (the step before it is heard, the step in which it is heard).
HEARD = {
    "Offer": ("offer", "hear offer"),
    "TokenBA1": ("challenge", "hear challenge"),
    "TokenAB": ("token", "hear token"),
    "TokenBA2": ("accept", "hear decision"),
    "Envelope": ("wrap", "hear envelope"),
    "Transfer": ("seal", "hear transfer"),
    "Prepared": ("restore", "hear prepared"),
    "Release": ("commit", "hear release"),
    "Receipt": ("resume", "hear receipt"),
    "Closure": ("remove", "hear closure"),
}


def hearer(pair: Pair, kind: str):
    return pair.b if kind in states.RECEIVES["destination"] else pair.a


def refused(pair: Pair, received: p.Received, now=NOW) -> errors.PeerError:
    """The hearer must refuse it and be as it was before."""
    side = hearer(pair, received.kind)
    before = side.machine.phase
    with pytest.raises(errors.PeerError) as caught:
        side.machine.receive(received, now)
    assert side.machine.phase == before
    # Nothing is spoilt: the true message is taken afterwards.
    sender = pair.a if side is pair.b else pair.b
    side.receive(sender.document(received.kind))
    return caught.value


def altered(pair: Pair, kind: str, **fields) -> p.Received:
    """What the true sender could sign, but for some fields."""
    side = hearer(pair, kind)
    sender = pair.a if side is pair.b else pair.b
    return sender.sign(dataclasses.replace(sender.transcript[kind].message, **fields))


CASES = [
    (kind, field.name)
    for kind in HEARD
    for field in dataclasses.fields(p.KINDS[kind])
    if (kind, field.name)
    not in {
        # Free to choose for its sender, and bound by what follows.
        ("Offer", "migration_id"),
        ("Offer", "generation"),
        ("Offer", "source"),
        ("Offer", "mode"),
        ("Offer", "needs"),
        ("TokenBA1", "nonce_b"),
        ("TokenAB", "nonce_a"),
        ("TokenBA2", "decision"),
        ("Transfer", "trailer_digest"),
        ("Transfer", "sealed_signature"),
        ("Receipt", "outcome"),
        ("Receipt", "reason"),
        ("Receipt", "at"),
        ("Closure", "at"),
        ("Closure", "outcome"),
    }
]


def _other(pair: Pair, kind: str, field: str, value):
    if field == "migration_id":
        return other_id()
    if field in ("not_after", "released_at"):
        return NOW - timedelta(seconds=1) if field == "not_after" else NOW + timedelta(hours=2)
    if field == "destination" and kind == "TokenBA1":
        return p.Party("cloud-c.sv2m", value.chain)
    if field == "streams" and kind == "Envelope":
        return PLAN[:1]
    if field == "streams":
        return (*SUMMARIES, p.StreamSummary(3, 1, 1))
    if field == "keys":
        return value[:1]
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    assert isinstance(value, str)
    return "cloud-c.sv2m"


@pytest.mark.parametrize(("kind", "field"), CASES)
def test_every_field_that_binds(kind: str, field: str) -> None:
    """Signed by its true sender, who lies in one field."""
    pair = Pair().run(HEARD[kind][0])
    side = hearer(pair, kind)
    sender = pair.a if side is pair.b else pair.b
    value = getattr(sender.transcript[kind].message, field)
    refused(pair, altered(pair, kind, **{field: _other(pair, kind, field, value)}))


@pytest.mark.parametrize("kind", [kind for kind in HEARD if kind not in ("Offer", "TokenBA1")])
def test_the_same_message_of_another_session(kind: str) -> None:
    """Same clouds, same keys, same migration id; only the nonces differ, so the session does."""
    other = Pair()
    other.steps["challenge"] = lambda: other.b.local(
        p.ChallengeDue(p.Party(other.b.identity.name, other.b.identity.chain), nonce("C"), NOW)
    )
    other.run(HEARD[kind][0])
    pair = Pair().run(HEARD[kind][0])
    sender = other.a if hearer(pair, kind) is pair.b else other.b
    assert isinstance(refused(pair, sender.transcript[kind]), errors.ReplayedMessage)


@pytest.mark.parametrize("kind", [kind for kind in HEARD if kind != "Offer"])
def test_the_same_message_of_another_migration(kind: str) -> None:
    other = Pair()
    other.offer = offer(other.a.identity, "cloud-b.sv2m", migration_id=other_id(), generation=2)
    other.run(HEARD[kind][0])
    pair = Pair().run(HEARD[kind][0])
    sender = other.a if hearer(pair, kind) is pair.b else other.b
    assert isinstance(refused(pair, sender.transcript[kind]), errors.ReplayedMessage)


@pytest.mark.parametrize("kind", list(HEARD))
def test_our_own_message_reflected(kind: str) -> None:
    pair = Pair().run(HEARD[kind][0])
    sender = pair.a if hearer(pair, kind) is pair.b else pair.b
    before = sender.machine.phase
    with pytest.raises(errors.UnexpectedMessage):
        sender.machine.receive(sender.transcript[kind], NOW)
    # Over the wire it fails earlier, at the signature: it is not by the peer's certificate.
    with pytest.raises(errors.InvalidSignature):
        sender.verified(sender.document(kind))
    assert sender.machine.phase == before


@pytest.mark.parametrize(
    "kind", ["Offer", "TokenBA1", "TokenAB", "TokenBA2", "Envelope", "Transfer", "Prepared"]
)
def test_delayed_past_not_after(kind: str) -> None:
    pair = Pair().run(HEARD[kind][0])
    sender = pair.a if hearer(pair, kind) is pair.b else pair.b
    late = NOW + timedelta(hours=1, seconds=1)
    assert refused(pair, sender.transcript[kind], late).code == "deadline-passed"


def test_a_release_delayed_past_not_after_is_taken_while_b_still_holds_the_vm() -> None:
    # A gave the VM up in time and cannot run it; not to run it here either would lose it.
    pair = Pair().run("commit")
    assert pair.b.receive(pair.a.document("Release"), NOW + timedelta(days=1)) == [p.Resume()]


@pytest.mark.parametrize("kind", list(HEARD)[2:])
def test_a_message_that_overtakes_the_one_before(kind: str) -> None:
    """The hearer has not got the message before it that was for it."""
    kinds = list(HEARD)
    side_hears = [k for k in kinds if (k in states.RECEIVES["source"]) == (kind in states.RECEIVES["source"])]
    previous = side_hears[side_hears.index(kind) - 1]
    ahead = Pair().run(HEARD[kind][0])
    behind = Pair().run(HEARD[previous][0])
    side = hearer(behind, kind)
    sender = ahead.a if side is behind.b else ahead.b
    phase = side.machine.phase
    with pytest.raises(errors.PeerError):
        side.machine.receive(sender.transcript[kind], NOW)
    assert side.machine.phase == phase


def test_surreptitious_forwarding() -> None:
    """B hands on to C what A signed for B. Every message of A's names B, and C is not B."""
    pair = Pair().run()
    c = certificates.identity("cloud-c.sv2m")
    machine = p.Migration("destination", c.name)
    with pytest.raises(errors.UnexpectedMessage) as caught:
        machine.receive(pair.a.transcript["Offer"], NOW)
    assert caught.value.code == "wrong-party"


def test_the_trailer_does_not_verify_for_anybody_else() -> None:
    """B takes A's signed manifest into a migration of its own with C: the binding names A and B."""
    pair = Pair().run("hear transfer")
    c = certificates.identity("cloud-c.sv2m")
    other = Pair(pair.b.identity, c).run("hear transfer")
    context = p.trailer_context(pair.a.machine.binding())
    # B signs as A of the other session, so it can name whatever it likes there: the binding must hold by itself.
    named = other.trailer()
    with pytest.raises(errors.IntegrityError, match="another migration"):
        other.b.machine.check_trailer(named, context, manifest().to_xml())
    with pytest.raises(errors.IntegrityError, match="not the one that the Transfer names"):
        other.b.machine.check_trailer(pair.trailer(), context, manifest().to_xml())


def test_the_trailer_is_the_one_that_the_transfer_names() -> None:
    """A signs two trailers of one session, both good, and names one of them: the other one is refused."""
    pair = Pair().run("hear transfer")
    other = p.Manifest()
    for stream, index, _ in manifest():
        other.add(stream, index, bytes(32))
    second = pair.trailer(other)
    with pytest.raises(errors.IntegrityError, match="not the one that the Transfer names") as caught:
        pair.b.machine.check_trailer(second, *p.verify_manifest(second, pair.a.identity.leaf))
    assert caught.value.code == "integrity-error"
    with pytest.raises(errors.IllegalTransition):
        pair.b.local(p.Restored())
    pair.run("restore")
    assert pair.b.machine.phase == "prepared"


def test_identity_misbinding() -> None:
    """C shows B's challenge as its own: A meant B, and TokenBA1 must name the one that the offer names."""
    pair = Pair().run("challenge")
    c = certificates.identity("cloud-c.sv2m")
    forged = p.TokenBA1(pair.offer.migration_id, p.Party(c.name, c.chain), nonce("B"))
    document = p.sign(p.encode(forged), c.key, c.chain)
    received = p.Received(forged, p.verify(document, "TokenBA1", c.leaf).digest, document)
    assert refused(pair, received).code == "wrong-party"


def test_a_peer_with_our_own_certificate() -> None:
    pair = Pair().run("challenge")
    mirrored = altered(pair, "TokenBA1", destination=p.Party(pair.b.identity.name, pair.a.identity.chain))
    assert refused(pair, mirrored).code == "wrong-party"


def test_a_cloud_does_not_migrate_to_itself() -> None:
    pair = Pair()
    with pytest.raises(errors.LocalError) as caught:
        pair.a.local(p.OfferRequested(offer(pair.a.identity, pair.a.identity.name)))
    assert caught.value.code == "wrong-party"


def test_a_nonce_that_repeats_the_challenge() -> None:
    pair = Pair().run("hear challenge")
    with pytest.raises(errors.LocalError):
        pair.a.local(p.TokenDue(nonce("B"), NOW))
    pair.run("token")
    assert isinstance(refused(pair, altered(pair, "TokenAB", nonce_a=nonce("B"))), errors.ReplayedMessage)


def test_a_second_envelope_for_the_same_session() -> None:
    """One Envelope per session: another VMK cannot be slipped in later."""
    pair = Pair().run("hear envelope")
    second = altered(pair, "Envelope", keys=pair.keys())
    for step in ("hear envelope", "land", "hear transfer", "restore"):
        pair.run(step)
        with pytest.raises(errors.ReplayedMessage):
            pair.b.machine.receive(second, NOW)


def test_a_receipt_for_both_outcomes() -> None:
    """B's machine signs one outcome; a B that signs two is convicted by what A keeps."""
    pair = Pair().run("hear receipt")
    second = altered(pair, "Receipt", outcome="refused", reason="changed-my-mind")
    with pytest.raises(errors.ReplayedMessage):
        pair.a.machine.receive(second, NOW)
    assert pair.a.machine.message(p.Receipt).outcome == "resumed"


def test_a_weak_ephemeral_key() -> None:
    pair = Pair().run("accept")
    weak = [
        rsa.generate_private_key(65537, 2432).public_key(),
        rsa.generate_private_key(3, 3072).public_key(),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
    ]
    for key in weak:
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        spki = spki if len(spki) >= 300 else spki + bytes(300)
        with pytest.raises(errors.IntegrityError):
            pair.a.machine.receive(altered(pair, "TokenBA2", decision=p.Accepted(spki, "192.0.2.1", 1)), NOW)


def test_an_envelope_after_a_refusal() -> None:
    pair = Pair().run("hear token")
    pair.b.local(p.RoomRefused(p.Refused("no-room", "full")))
    accepted = Pair().run("wrap")
    with pytest.raises(errors.UnexpectedMessage):
        pair.b.machine.receive(accepted.a.transcript["Envelope"], NOW)


def test_withdrawn_is_not_taken_after_the_release() -> None:
    pair = Pair().run("hear release")
    machine = pair.a.machine
    closure = pair.a.sign(p.Closure(pair.offer.migration_id, machine.sid, "withdrawn", p.NOTHING, NOW))
    for step in ("hear release", "resume"):
        pair.run(step)
        with pytest.raises(errors.UnexpectedMessage):
            pair.b.machine.receive(closure, NOW)


def test_the_binding_differs_for_every_session() -> None:
    one, two = Pair().run("wrap"), Pair()
    two.offer = offer(two.a.identity, "cloud-b.sv2m", generation=2)
    two.run("wrap")
    assert one.a.machine.binding() != two.a.machine.binding()
    assert one.a.machine.context_digest != two.a.machine.context_digest
