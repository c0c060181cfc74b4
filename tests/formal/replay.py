# SPDX-License-Identifier: Apache-2.0
"""Traces of the model played with real documents: real machines, real signatures, real certificates.

A document is real where the model's is: what an honest instance sent in the trace is what its machine signed. What the
intruder makes he makes as well as a real one could: under his own key and certificate, or by changing somebody's
document and leaving the signature as it was.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from formal import fields
from formal import terms as t
from formal.steps import Move
from sv2m import protocol as p
from sv2m.evidence import path
from sv2m.protocol import encryption, segments, states, trailer
from tests.protocol.certificates import Identity
from tests.protocol.clouds import EIK, NOW, PLAN, VMK, Pair, Side, ephemeral_key, manifest, offer, other_id
from tests.unit.cmm import authority

#: The message that each transition of the model waits for.
AWAITED = {
    ("source", "challenge"): "TokenBA1",
    ("source", "decision"): "TokenBA2",
    ("source", "prepared"): "Prepared",
    ("source", "resumed"): "Receipt",
    ("source", "refused"): "Receipt",
    ("target", "offer"): "Offer",
    ("target", "token"): "TokenAB",
    ("target", "envelope"): "Envelope",
    ("target", "transfer"): "Transfer",
    ("target", "resume"): "Release",
    ("target", "refuse"): "Release",
    ("target", "closure"): "Closure",
}


class Refused(Exception):
    """The real code does not do what the model's instance does, although nothing was raised."""


@functools.cache
def certified() -> authority.Certified:
    return authority.root()


@functools.cache
def cloud(letter: str) -> Identity:
    """The cloud that the model calls a, b or i."""
    name = f"cloud-{letter}.sv2m"
    made = certified().certify(name, begins=NOW - timedelta(days=1), ends=NOW + timedelta(days=30))
    return Identity(name, made.key_pem, (made.der,))


def validated(chain: tuple[bytes, ...], name: str) -> bytes:
    """The leaf of a chain, which the agreement's CA says is this cloud's."""
    path.validate(path.load_chain(chain), name, path.load_anchors(certified().pem), NOW)
    return chain[0]


class Instance:
    """An honest instance of the model as a real side; the other half of its Pair only says who the peer is."""

    def __init__(self, role: str, me: str, peer: str, number: int) -> None:
        clouds = (cloud(me), cloud(peer)) if role == "source" else (cloud(peer), cloud(me))
        self.pair = Pair(*clouds)
        self.pair.offer = offer(clouds[0], clouds[1].name, migration_id=other_id(), generation=number)
        self.side: Side = self.pair.a if role == "source" else self.pair.b
        self.role, self.number = role, number
        self.arrived = p.Manifest()

    def hear(self, kind: str, document: bytes) -> None:
        """What engine and machine do with a message: validate who says it, verify, check, take."""
        if kind in ("Offer", "TokenBA1") and p.peek(document).kind == kind:
            validated(p.claimed_party(document).chain, self.side.peer.name)
        phase = self.side.machine.phase
        self.side.receive(document)
        if p.peek(document).kind != kind:
            assert self.side.machine.phase == phase
            raise Refused(f"a {p.peek(document).kind} was not taken for the {kind}")

    def nonce(self, letter: str) -> bytes:
        return (letter + str(self.number)).encode() * 16

    def do(self, label: str) -> None:
        """What this side does of its own in a transition."""
        steps: dict[tuple[str, str], Callable[[], object]] = {
            ("source", "offer"): lambda: self.side.local(p.OfferRequested(self.pair.offer)),
            ("source", "challenge"): lambda: self.side.local(p.TokenDue(self.nonce("A"), NOW)),
            ("source", "decision"): self._send_everything,
            ("source", "prepared"): lambda: self.side.local(p.Committed(NOW)),
            ("source", "resumed"): lambda: self.side.local(p.Removed(NOW)),
            ("source", "refused"): lambda: self.side.local(p.Undone(NOW)),
            ("target", "offer"): lambda: self.side.local(
                p.ChallengeDue(p.Party(self.side.identity.name, self.side.identity.chain), self.nonce("B"), NOW)
            ),
            ("target", "token"): lambda: self.side.local(p.RoomHeld(p.Accepted(ephemeral_key()[0], "192.0.2.1", 4711))),
            ("target", "envelope"): self._open_keys,
            ("target", "segment"): self._take_segments,
            ("target", "transfer"): self._restore,
            ("target", "resume"): lambda: self.side.local(p.Resumed(NOW)),
            ("target", "refuse"): lambda: self.side.local(p.CannotResume("vm-gone", NOW)),
            ("target", "closure"): lambda: None,
        }
        steps[self.role, label]()

    def _send_everything(self) -> None:
        self.side.local(p.KeysWrapped(self.pair.keys(), PLAN))
        self.side.local(p.EnvelopeTaken())
        self.side.local(self.pair.sealed())

    def _open_keys(self) -> None:
        machine = self.side.machine
        for wrapped, expected in zip(machine.message(p.Envelope).keys, (VMK, EIK), strict=True):
            key = encryption.unwrap_key(wrapped.cipher_value, ephemeral_key()[1], machine.context_digest)
            encryption.check_commitment(wrapped.name, machine.message(p.Offer).migration_id, key, wrapped.commitment)
            assert key == expected
        self.side.local(p.LandingReady())

    def _take_segments(self) -> None:
        self.arrived = manifest()

    def _restore(self) -> None:
        sealed = self.side.machine.message(p.Transfer).sealed_signature
        signature = segments.open_signature(VMK, sealed)
        context, signed = p.verify_manifest(signature, self.side.peer.leaf)
        self.side.machine.check_trailer(signature, context, signed).compare(self.arrived)
        self.side.local(p.Restored())


class World:
    """A trace being played.

    :ivar documents: real documents by what stands for them in the model.
    """

    def __init__(self) -> None:
        self.instances: dict[int, Instance] = {}
        self.documents: dict[t.Term, bytes] = {}
        self._beside: dict[t.Term, tuple[t.Term, ...]] = {}

    def play(self, move: Move) -> None:
        """Do one move of the model.

        :raises sv2m.errors.Error: the real code refuses.
        :raises Refused: it does not refuse, but neither does it do what the move does.
        """
        role, label = move.instance.role.name, move.transition.label
        if role.startswith("judge"):
            self._judge(move)
            return
        instance = self.instances.get(move.instance.number)
        if instance is None:
            me, peer = (t.show(value) for value in move.instance.start[:2] if value is not None)
            instance = self.instances[move.instance.number] = Instance(role, me, peer, move.instance.number + 1)
        before = set(instance.side.transcript)
        kind = AWAITED.get((role, label))
        if kind is not None and move.received is not None:
            instance.hear(kind, self._document(kind, move.received, instance))
        instance.do(label)
        self._keep(move, instance, before)

    def _keep(self, move: Move, instance: Instance, before: set[str]) -> None:
        ours = [kind for kind in instance.side.transcript if kind not in before]
        signed = [kind for kind in ours if kind not in states.RECEIVES[instance.side.role]]
        sent = [items for items in (tuple(t.items(message)) for message in move.sent) if _is_document(items[0])]
        assert len(signed) == len(sent), (signed, sent)
        for kind, (document, *beside) in zip(signed, sent, strict=True):
            self.documents[document] = instance.side.document(kind)
            self._beside[document] = tuple(beside)

    def _document(self, kind: str, received: t.Term, instance: Instance) -> bytes:
        core, *beside = t.items(received)
        real = self.documents.get(core)
        if real is not None:
            return real if tuple(beside) == self._beside[core] else self._altered(kind, real)
        if not isinstance(core, t.Crypt):
            return p.encode(self._message(kind, instance, ""))
        if kind not in states.RECEIVES["source"]:
            self.documents[core] = self._by_intruder(kind, instance.pair)
            self._beside[core] = tuple(beside)
            return self.documents[core]
        assert core.key is t.inverse(t.atom("ki", "public_key"))
        named = cloud(t.show(fields_of(core)["destination.name"])).name if kind == "TokenBA1" else ""
        return p.sign(p.encode(self._message(kind, instance, named)), cloud("i").key, cloud("i").chain)

    def _altered(self, kind: str, real: bytes) -> bytes:
        """Another value in what the variant does not sign, and the signature as it was."""
        message = p.decode(_unsigned(real))
        other: dict[str, Any] = {
            "Offer": lambda: {"generation": 77},
            "TokenBA2": lambda: {"decision": p.Accepted(encryption.new_ephemeral_key()[0], "192.0.2.1", 4711)},
            "Envelope": lambda: {"keys": (message.keys[0], dataclasses.replace(message.keys[1], commitment=bytes(32)))},
        }[kind]()
        changed = p.encode(dataclasses.replace(message, **other))
        begin, end = real.index(b"<ds:Signature"), real.rindex(b"</")
        return changed[: changed.rindex(b"</")] + real[begin:end] + real[end:]

    def _message(self, kind: str, instance: Instance, named: str) -> p.Message:
        """What the intruder says in his own name, or without any."""
        machine = instance.side.machine
        offered = machine.message(p.Offer)
        if kind == "TokenBA1":
            return p.TokenBA1(offered.migration_id, p.Party(named, cloud("i").chain), b"i" * 32)
        if kind == "TokenBA2":
            token = machine.message(p.TokenAB)
            return p.TokenBA2(
                migration_id=token.migration_id,
                nonce_b=token.nonce_b,
                nonce_a=token.nonce_a,
                destination=token.destination,
                source=token.source,
                destination_certificate_digest=token.destination_certificate_digest,
                source_certificate_digest=token.source_certificate_digest,
                offer_digest=token.offer_digest,
                decision=p.Accepted(ephemeral_key()[0], "192.0.2.1", 4711),
            )
        assert kind == "Receipt"
        return p.Receipt(
            migration_id=offered.migration_id,
            sid=machine.sid,
            outcome="resumed",
            reason="none",
            envelope_digest=machine.digest(p.Envelope),
            transfer_digest=machine.digest(p.Transfer),
            release_digest=machine.digest(p.Release),
            at=NOW,
        )

    def _by_intruder(self, kind: str, pair: Pair) -> bytes:
        """What the intruder says as a source, in his own name: as an honest one would."""
        source, heard = pair.a, pair.b.transcript
        said: dict[str, Callable[[], object]] = {
            "Offer": lambda: source.local(p.OfferRequested(pair.offer)),
            "TokenAB": lambda: source.local(p.TokenDue(b"i" * 32, NOW)),
            "Envelope": lambda: (source.local(p.KeysWrapped(pair.keys(), PLAN)), source.local(p.EnvelopeTaken())),
            "Transfer": lambda: source.local(pair.sealed()),
            "Release": lambda: source.local(p.Committed(NOW)),
        }
        for reply in ("TokenBA1", "TokenBA2", "Prepared"):
            if reply in heard and reply not in source.transcript:
                source.receive(heard[reply].document)
        said[kind]()
        return source.document(kind)

    def _judge(self, move: Move) -> None:
        if move.instance.role.name == "judge_of_vm":
            self._judge_of_vm()
        else:
            self._judge_of_origin()

    def _judge_of_vm(self) -> None:
        """The intruder shows B's Receipt, and a manifest of another VM that he signed for the same session."""
        (target,) = (one for one in self.instances.values() if one.side.role == "destination")
        other = p.Manifest()
        for stream, index, _ in manifest():
            other.add(stream, index, bytes(32))
        shown = target.pair.trailer(other)
        context, _ = p.verify_manifest(shown, target.side.peer.leaf)
        assert context == p.trailer_context(target.side.machine.binding())
        assert target.side.machine.message(p.Receipt).transfer_digest == target.side.machine.digest(p.Transfer)
        trailer.check_named(shown, target.side.machine.message(p.Transfer).trailer_digest)

    def _judge_of_origin(self) -> None:
        """The intruder shows a manifest that he made, with the binding that A signed for another."""
        (source,) = (one for one in self.instances.values() if one.side.role == "source")
        context = p.trailer_context(source.side.machine.binding())
        other = p.Manifest()
        for stream, index, _ in manifest():
            other.add(stream, index, bytes(32))
        forged = p.sign_manifest(context, other.to_xml(), cloud("i").key, cloud("i").chain)
        p.verify_manifest(forged, source.side.identity.leaf)


def _is_document(term: t.Term) -> bool:
    return not (isinstance(term, t.Crypt) and not isinstance(term.key, t.Inverse))


def _unsigned(document: bytes) -> bytes:
    begin, end = document.index(b"<ds:Signature"), document.rindex(b"</")
    return document[:begin] + document[end:]


def fields_of(document: t.Crypt) -> dict[str, t.Term]:
    """The parts of a document of the model, by the names of fields.PARTS."""
    tag, *parts = t.items(document.body)
    return dict(zip(fields.PARTS[t.show(tag)], parts, strict=True))
