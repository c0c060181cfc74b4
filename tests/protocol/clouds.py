# SPDX-License-Identifier: Apache-2.0
"""Two clouds on a fake link: real machines, real signatures, no network, no database, a clock that stands."""

from __future__ import annotations

import copy
import functools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sv2m import protocol as p
from sv2m.protocol import encryption, segments
from tests.protocol import certificates
from tests.protocol.certificates import Identity

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
MIGRATION = "6f1c1a9e-3c6e-4d52-9d5f-0a4a2e6f7b11"
VMK = bytes(range(32))
EIK = bytes(range(100, 132))

NEEDS = {
    "name": 'web <1> & "friends"',
    "vm": "0a0b0c0d-0000-4000-8000-000000000001",
    "vcpus": 1,
    "memory_mb": 128,
    "architecture": "x86_64",
    "machine": "pc-q35-7.2",
    "firmware": "bios",
    "cpu": {"mode": "custom", "model": "qemu64"},
    "virt_type": "qemu",
    "sysinfo": {"manufacturer": "OpenStack Foundation", "product": "OpenStack Nova", "version": "34.0.0"},
    "root_gb": 1,
    "ephemeral_gb": 0,
    "swap_mb": 0,
    "disks": [
        {
            "index": 0,
            "target": "vda",
            "bus": "virtio",
            "size": 1 << 30,
            "logical_block_size": 512,
            "physical_block_size": 512,
            "volume_gb": 1,
            "encrypted": True,
            "cipher": "aes-xts-plain64",
            "key_size": 256,
            "boot": True,
        }
    ],
    "nics": [{"index": 0, "mac": "fa:16:3e:11:22:33", "model": "virtio", "mtu": 1500}],
    "devices": ["memballoon:virtio", "rng:virtio"],
    "addresses": ["disk-vda=pci-0000:03:00.0", "interface-0=pci-0000:02:00.0"],
}


@functools.cache
def ephemeral_key() -> tuple[bytes, bytes]:
    return encryption.new_ephemeral_key()


def nonce(letter: str) -> bytes:
    return letter.encode() * 32


def offer(
    source: Identity,
    destination: str,
    *,
    migration_id: str = MIGRATION,
    generation: int = 1,
    not_after: datetime = NOW + timedelta(hours=1),
) -> p.Offer:
    return p.Offer(
        migration_id=migration_id,
        generation=generation,
        source=p.Party(source.name, source.chain),
        destination=destination,
        mode="paused",
        not_after=not_after,
        needs=p.Needs.from_dict(copy.deepcopy(NEEDS)),
    )


PLAN = (p.StreamPlan(1, "memory", 0, 4 << 20), p.StreamPlan(2, "disk", 0, 4 << 20))
#: Plaintext segments by stream.
PLAINTEXT = {1: [b"memory" * 1000, b"rest of memory"], 2: [b"disk" * 5000, b"dirty", b"last round"]}
SUMMARIES = tuple(
    p.StreamSummary(stream, len(parts), sum(map(len, parts))) for stream, parts in PLAINTEXT.items()
)


def manifest() -> p.Manifest:
    result = p.Manifest()
    sealer = p.Sealer(VMK)
    for stream, parts in PLAINTEXT.items():
        for index, part in enumerate(parts):
            result.add(stream, index, sealer.seal(stream, index, part, bytearray(len(part) + 28))[1])
    return result


@dataclass
class Side:
    """One cloud: its identity, its machine, and the documents that it signed."""

    role: str
    identity: Identity
    peer: Identity
    machine: p.Migration = field(init=False)
    transcript: dict[str, p.Received] = field(default_factory=dict)
    #: What its people have declared, signed, by kind.
    declared: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.machine = p.Migration(self.role, self.identity.name)

    def sign(self, message: p.Message) -> p.Received:
        document = p.sign(p.encode(message), self.identity.key, self.identity.chain)
        return p.Received(
            message, p.verify(document, type(message).__name__, self.identity.leaf).digest, document
        )

    def declare(self, kind: str, **fields: object) -> bytes:
        """What the engine signs and keeps when a person has decided.

        :param fields: that are not what they should be.
        """
        machine = self.machine
        digests = {
            f"{cls.__name__.lower()}_digest": machine.digest(cls) if cls.__name__ in self.transcript else p.NOTHING
            for cls in (p.Prepared, p.Release, p.Receipt)
        }
        said = {"sid": machine.sid, "cloud": self.identity.name, "kind": kind, "reason": "b7 was scrapped", **digests}
        offer = machine.message(p.Offer)
        declaration = p.Declaration(**{"migration_id": offer.migration_id, "at": NOW, **said, **fields})
        self.declared[kind] = p.sign(p.encode(declaration), self.identity.key, self.identity.chain)
        return self.declared[kind]

    def _perform(self, actions: list[p.Action]) -> list[p.Action]:
        for action in actions:
            if isinstance(action, p.Send):
                received = self.sign(action.message)
                self.machine.sent(received)
                self.transcript[received.kind] = received
        return actions

    def local(self, event: p.Event) -> list[p.Action]:
        return self._perform(self.machine.local(event))

    def receive(self, document: bytes, now: datetime = NOW) -> list[p.Action]:
        received = self.verified(document)
        actions = self._perform(self.machine.receive(received, now))
        self.transcript.setdefault(received.kind, received)
        return actions

    def verified(self, document: bytes) -> p.Received:
        verified = p.verify(document, p.peek(document).kind, self.peer.leaf)
        return p.Received(p.decode(verified.message_document), verified.digest, document)

    def document(self, kind: str) -> bytes:
        return self.transcript[kind].document

    def snapshot(self) -> tuple[str, dict[str, p.Received]]:
        return self.machine.phase, dict(self.transcript)

    def restart(self) -> None:
        """As after kill -9: only phase and documents are left."""
        phase, transcript = self.snapshot()
        self.machine = p.Migration.restore(self.role, self.identity.name, phase, transcript)


class Pair:
    """A and B, and the steps of a migration in order. run() does them up to a given one."""

    def __init__(self, a: Identity | None = None, b: Identity | None = None) -> None:
        a = a or certificates.identity("cloud-a.sv2m")
        b = b or certificates.identity("cloud-b.sv2m")
        self.a = Side("source", a, b)
        self.b = Side("destination", b, a)
        self.offer = offer(a, b.name)
        self.steps: dict[str, Callable[[], list[p.Action]]] = {
            "offer": lambda: self.a.local(p.OfferRequested(self.offer)),
            "hear offer": lambda: self.b.receive(self.a.document("Offer")),
            "challenge": lambda: self.b.local(p.ChallengeDue(p.Party(b.name, b.chain), nonce("B"), NOW)),
            "hear challenge": lambda: self.a.receive(self.b.document("TokenBA1")),
            "token": lambda: self.a.local(p.TokenDue(nonce("A"), NOW)),
            "hear token": lambda: self.b.receive(self.a.document("TokenAB")),
            "accept": lambda: self.b.local(p.RoomHeld(p.Accepted(ephemeral_key()[0], "192.0.2.1", 4711))),
            "hear decision": lambda: self.a.receive(self.b.document("TokenBA2")),
            "wrap": lambda: self.a.local(p.KeysWrapped(self.keys(), PLAN)),
            "hear envelope": lambda: self.b.receive(self.a.document("Envelope")),
            "land": lambda: self.b.local(p.LandingReady()),
            "envelope taken": lambda: self.a.local(p.EnvelopeTaken()),
            "seal": lambda: self.a.local(self.sealed()),
            "hear transfer": lambda: self.b.receive(self.a.document("Transfer")),
            "restore": self.restore,
            "hear prepared": lambda: self.a.receive(self.b.document("Prepared")),
            "commit": lambda: self.a.local(p.Committed(NOW)),
            "hear release": lambda: self.b.receive(self.a.document("Release")),
            "resume": lambda: self.b.local(p.Resumed(NOW)),
            "hear receipt": lambda: self.a.receive(self.b.document("Receipt")),
            "remove": lambda: self.a.local(p.Removed(NOW)),
            "forget": lambda: self.b.local(p.Undone(NOW)),
            "hear closure": lambda: self.b.receive(self.a.document("Closure")),
            "told": lambda: self.a.local(p.Told()),
        }
        self._done: set[str] = set()

    def run(self, until: str = "told") -> Pair:
        """Do every step up to and with this one; those done already are not done again."""
        for name, step in self.steps.items():
            if name not in self._done:
                step()
                self._done.add(name)
            if name == until:
                return self
        raise AssertionError(f"no step {until}")

    def keys(self) -> tuple[p.WrappedKey, ...]:
        machine = self.a.machine
        recipient = machine.message(p.TokenBA2).decision.ephemeral_key
        return tuple(
            p.WrappedKey(
                name=name,
                kind=kind,
                cipher_value=encryption.wrap_key(key, name, recipient, machine.context_digest),
                commitment=encryption.commitment(name, self.offer.migration_id, key),
                size=256,
            )
            for name, kind, key in (("VMK", "vmk", VMK), ("EIK-0", "luks-passphrase", EIK))
        )

    def trailer(self, of: p.Manifest | None = None) -> bytes:
        """A's signature over a manifest of this session; the true one when none is given."""
        identity = self.a.identity
        context = p.trailer_context(self.a.machine.binding())
        return p.sign_manifest(context, (of or manifest()).to_xml(), identity.key, identity.chain)

    def sealed(self) -> p.Sealed:
        signature = self.trailer()
        return p.Sealed(SUMMARIES, p.trailer_digest(signature), segments.seal_signature(VMK, signature))

    def restore(self) -> list[p.Action]:
        opened = segments.open_signature(VMK, self.b.machine.message(p.Transfer).sealed_signature)
        self.b.machine.check_trailer(opened, *p.verify_manifest(opened, self.a.identity.leaf)).compare(manifest())
        return self.b.local(p.Restored())


def other_id() -> str:
    return str(uuid.uuid4())
