# SPDX-License-Identifier: Apache-2.0
"""The messages of protocol.md, one frozen dataclass each, validated on construction.

A value that exists is well-formed; whether it may be said now, and fits what was said before, is the
machine's affair. Construction raises LocalError("invalid-field"); the wire turns that into MalformedMessage
for what the peer sent. Step 6 of the protocol, the segments, is no XML message; it is in segments.py and
frames.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sv2m.protocol import fields as check
from sv2m.protocol.needs import MAX_DISKS, Needs
from sv2m.protocol.plan import (
    EIK_KIND,
    VMK_BITS,
    VMK_KIND,
    VMK_NAME,
    StreamPlan,
    StreamSummary,
    WrappedKey,
    eik_name,
    total_segments,
)

#: What stands where a digest would, of what was never received: a Closure's Receipt after a withdrawal.
NOTHING: Final = bytes(check.SHA384_BYTES)
#: The Receipt's reason when it was a person who said what became of the VM: the host that would know is lost.
DECLARED_LOST: Final = "declared-lost"
DECLARED_RUNNING: Final = "declared-running"
_OF_RESUMED: Final = ("none", DECLARED_RUNNING)
#: The one mode of version 1: the VM stands still while its memory moves.
MODES: Final = ("paused",)
#: DER certificates: a chain of five links of 4 KiB is more than any CA profile we know needs.
MAX_CHAIN: Final = 5
MAX_CERTIFICATE: Final = 4096
#: IV, tag and the signature element over at most MAX_SEGMENTS references of some 210 bytes (see plan.py).
MAX_SEALED_SIGNATURE: Final = 1_600_000


@dataclass(frozen=True)
class Party:
    """A cloud as it introduces itself: its name and its certificate chain (DER, leaf first)."""

    name: str
    chain: tuple[bytes, ...]

    def __post_init__(self) -> None:
        check.name("Party.name", self.name)
        check.items("Party.chain", self.chain, bytes, 1, MAX_CHAIN)
        for certificate in self.chain:
            check.octets("Party.chain", certificate, 1, MAX_CERTIFICATE)


@dataclass(frozen=True)
class Offer:
    """1, A to B: I would like to give you this VM.

    :param generation: grows with every attempt for this VM; B refuses one that it has seen.
    :param not_after: UTC; nothing of this migration is begun later.
    """

    migration_id: str
    generation: int
    source: Party
    destination: str
    mode: str
    not_after: datetime
    needs: Needs

    def __post_init__(self) -> None:
        check.identifier("Offer.migration_id", self.migration_id)
        check.whole("Offer.generation", self.generation, 1, (1 << 63) - 1)
        check.name("Offer.destination", self.destination)
        check.one_of("Offer.mode", self.mode, MODES)
        object.__setattr__(self, "not_after", check.instant("Offer.not_after", self.not_after))
        if type(self.source) is not Party or type(self.needs) is not Needs:
            raise check.invalid("Offer.source", "and Offer.needs must be Party and Needs")


@dataclass(frozen=True)
class TokenBA1:
    """2, B to A: this is who I am, and R_B is my challenge."""

    migration_id: str
    destination: Party
    nonce_b: bytes

    def __post_init__(self) -> None:
        check.identifier("TokenBA1.migration_id", self.migration_id)
        check.octets("TokenBA1.nonce_b", self.nonce_b, check.NONCE_BYTES)
        if type(self.destination) is not Party:
            raise check.invalid("TokenBA1.destination", "must be a Party")


@dataclass(frozen=True)
class TokenAB:
    """3, A to B: ISO/IEC 9798-3 three-pass TokenAB with both certificates and the offer."""

    migration_id: str
    nonce_a: bytes
    nonce_b: bytes
    source: str
    destination: str
    source_certificate_digest: bytes
    destination_certificate_digest: bytes
    offer_digest: bytes

    def __post_init__(self) -> None:
        check.identifier("TokenAB.migration_id", self.migration_id)
        _check_token(self)


@dataclass(frozen=True)
class Accepted:
    """B takes the VM.

    :param ephemeral_key: ekB, a fresh RSA public key as DER SubjectPublicKeyInfo (RFC 5280), for this
        migration only.
    :param endpoint_host: where B's agent takes data connections; endpoint_port its TCP port.
    """

    ephemeral_key: bytes
    endpoint_host: str
    endpoint_port: int

    def __post_init__(self) -> None:
        check.octets("Accepted.ephemeral_key", self.ephemeral_key, 300, 1024)
        check.host("Accepted.endpoint_host", self.endpoint_host)
        check.whole("Accepted.endpoint_port", self.endpoint_port, 1, 65535)


@dataclass(frozen=True)
class Refused:
    """B does not take the VM: a stable code and a sentence for A's operator."""

    code: str
    reason: str

    def __post_init__(self) -> None:
        check.code("Refused.code", self.code)
        check.text("Refused.reason", self.reason, 1, 1000)


@dataclass(frozen=True)
class TokenBA2:
    """4, B to A: ISO/IEC 9798-3 TokenBA2, and B's decision."""

    migration_id: str
    nonce_b: bytes
    nonce_a: bytes
    destination: str
    source: str
    destination_certificate_digest: bytes
    source_certificate_digest: bytes
    offer_digest: bytes
    decision: Accepted | Refused

    def __post_init__(self) -> None:
        check.identifier("TokenBA2.migration_id", self.migration_id)
        _check_token(self)
        if type(self.decision) not in (Accepted, Refused):
            raise check.invalid("TokenBA2.decision", "must be Accepted or Refused")


def _check_token(token: TokenAB | TokenBA2) -> None:
    kind = type(token).__name__
    check.octets(f"{kind}.nonce_a", token.nonce_a, check.NONCE_BYTES)
    check.octets(f"{kind}.nonce_b", token.nonce_b, check.NONCE_BYTES)
    check.name(f"{kind}.source", token.source)
    check.name(f"{kind}.destination", token.destination)
    check.octets(f"{kind}.source_certificate_digest", token.source_certificate_digest, check.SHA256_BYTES)
    check.octets(
        f"{kind}.destination_certificate_digest", token.destination_certificate_digest, check.SHA256_BYTES
    )
    check.octets(f"{kind}.offer_digest", token.offer_digest, check.SHA384_BYTES)


@dataclass(frozen=True)
class Envelope:
    """5, A to B: the plan and the keys, before any data.

    :param sid: session id, SHA-384 over messages 1 to 4 (session.py).
    :param streams: what will be sent: the memory once, every disk once.
    :param keys: VMK first, then EIK-0, EIK-1 ... in order, each wrapped to ekB.
    """

    migration_id: str
    sid: bytes
    source: str
    destination: str
    source_certificate_digest: bytes
    destination_certificate_digest: bytes
    streams: tuple[StreamPlan, ...]
    keys: tuple[WrappedKey, ...]

    def __post_init__(self) -> None:
        _check_session("Envelope", self.migration_id, self.sid)
        check.name("Envelope.source", self.source)
        check.name("Envelope.destination", self.destination)
        check.octets("Envelope.source_certificate_digest", self.source_certificate_digest, check.SHA256_BYTES)
        check.octets(
            "Envelope.destination_certificate_digest", self.destination_certificate_digest, check.SHA256_BYTES
        )
        check.items("Envelope.streams", self.streams, StreamPlan, 1, MAX_DISKS + 1)
        check.items("Envelope.keys", self.keys, WrappedKey, 1, MAX_DISKS + 1)
        if sorted({stream.id for stream in self.streams}) != [stream.id for stream in self.streams]:
            raise check.invalid("Envelope.streams", "must have ids that grow")
        if len({(stream.kind, stream.index) for stream in self.streams}) != len(self.streams):
            raise check.invalid("Envelope.streams", "must not name a disk or the memory twice")
        vmk, *eiks = self.keys
        if (vmk.name, vmk.kind, vmk.size) != (VMK_NAME, VMK_KIND, VMK_BITS):
            raise check.invalid("Envelope.keys", "must begin with a VMK of 256 bits")
        if [(key.name, key.kind) for key in eiks] != [(eik_name(n), EIK_KIND) for n in range(len(eiks))]:
            raise check.invalid("Envelope.keys", "must go on with EIK-0, EIK-1 and so on")


@dataclass(frozen=True)
class Transfer:
    """7, A to B: everything is sent.

    :param streams: how many segments and bytes each stream got, in the Envelope's order.
    :param trailer_digest: SHA-384 of the ds:Signature that is sealed here. B's Prepared and Receipt name this Transfer,
        and so the one manifest that B has verified, also when VMK is long destroyed and nobody can open the seal.
    :param sealed_signature: the ds:Signature over the manifest as one AES-256-GCM message under VMK
        (IV ‖ ciphertext ‖ tag, IV of stream 0 index 0).
    """

    migration_id: str
    sid: bytes
    streams: tuple[StreamSummary, ...]
    trailer_digest: bytes
    sealed_signature: bytes

    def __post_init__(self) -> None:
        _check_session("Transfer", self.migration_id, self.sid)
        check.items("Transfer.streams", self.streams, StreamSummary, 1, MAX_DISKS + 1)
        check.octets("Transfer.trailer_digest", self.trailer_digest, check.SHA384_BYTES)
        check.octets("Transfer.sealed_signature", self.sealed_signature, 29, MAX_SEALED_SIGNATURE)
        if sorted({stream.id for stream in self.streams}) != [stream.id for stream in self.streams]:
            raise check.invalid("Transfer.streams", "must have ids that grow")
        total_segments(self.streams)


@dataclass(frozen=True)
class Prepared:
    """8, B to A: everything is verified and restored, and the VM stands paused here."""

    migration_id: str
    sid: bytes
    envelope_digest: bytes
    transfer_digest: bytes

    def __post_init__(self) -> None:
        _check_session("Prepared", self.migration_id, self.sid)
        check.octets("Prepared.envelope_digest", self.envelope_digest, check.SHA384_BYTES)
        check.octets("Prepared.transfer_digest", self.transfer_digest, check.SHA384_BYTES)


@dataclass(frozen=True)
class Release:
    """9, A to B: run it. A has durably given up the right to."""

    migration_id: str
    sid: bytes
    envelope_digest: bytes
    transfer_digest: bytes
    prepared_digest: bytes
    released_at: datetime

    def __post_init__(self) -> None:
        _check_session("Release", self.migration_id, self.sid)
        check.octets("Release.envelope_digest", self.envelope_digest, check.SHA384_BYTES)
        check.octets("Release.transfer_digest", self.transfer_digest, check.SHA384_BYTES)
        check.octets("Release.prepared_digest", self.prepared_digest, check.SHA384_BYTES)
        object.__setattr__(self, "released_at", check.instant("Release.released_at", self.released_at))


@dataclass(frozen=True)
class Receipt:
    """10, B to A: the one outcome.

    :param outcome: resumed or refused.
    :param reason: a kebab-case code; none, or declared-running, exactly when resumed.
    """

    migration_id: str
    sid: bytes
    outcome: str
    reason: str
    envelope_digest: bytes
    transfer_digest: bytes
    release_digest: bytes
    at: datetime

    def __post_init__(self) -> None:
        _check_session("Receipt", self.migration_id, self.sid)
        check.one_of("Receipt.outcome", self.outcome, ("resumed", "refused"))
        check.code("Receipt.reason", self.reason)
        if (self.outcome == "resumed") != (self.reason in _OF_RESUMED):
            raise check.invalid("Receipt.reason", f"must be {' or '.join(_OF_RESUMED)} exactly when resumed")
        check.octets("Receipt.envelope_digest", self.envelope_digest, check.SHA384_BYTES)
        check.octets("Receipt.transfer_digest", self.transfer_digest, check.SHA384_BYTES)
        check.octets("Receipt.release_digest", self.release_digest, check.SHA384_BYTES)
        object.__setattr__(self, "at", check.instant("Receipt.at", self.at))


@dataclass(frozen=True)
class Closure:
    """11, A to B: it is over.

    :param outcome: removed (A has deleted VM and keys), withdrawn (A gave up before Release), or taken-back (after it,
        without a Receipt: a person at A has decided, and A answers for it).
    :param receipt_digest: SHA-384 of the signed Receipt; NOTHING when there was none.
    """

    migration_id: str
    sid: bytes
    outcome: str
    receipt_digest: bytes
    at: datetime

    def __post_init__(self) -> None:
        _check_session("Closure", self.migration_id, self.sid)
        check.one_of("Closure.outcome", self.outcome, ("removed", "withdrawn", "taken-back"))
        check.octets("Closure.receipt_digest", self.receipt_digest, check.SHA384_BYTES)
        if (self.outcome != "removed") != (self.receipt_digest == NOTHING):
            raise check.invalid("Closure.receipt_digest", "must be 48 zero bytes exactly when nothing was removed")
        object.__setattr__(self, "at", check.instant("Closure.at", self.at))


def _check_session(kind: str, migration_id: str, sid: bytes) -> None:
    check.identifier(f"{kind}.migration_id", migration_id)
    check.octets(f"{kind}.sid", sid, check.SHA384_BYTES)


Message = Offer | TokenBA1 | TokenAB | TokenBA2 | Envelope | Transfer | Prepared | Release | Receipt | Closure

#: Every message by its kind, which is the local name of its document's root, in the order of the protocol.
KINDS: Final[dict[str, type[Message]]] = {
    cls.__name__: cls
    for cls in (Offer, TokenBA1, TokenAB, TokenBA2, Envelope, Transfer, Prepared, Release, Receipt, Closure)
}
