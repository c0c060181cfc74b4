# SPDX-License-Identifier: Apache-2.0
"""A source that talks to a destination's engine: honest unless told otherwise, and able to sign whatever it likes."""

from __future__ import annotations

import copy
import dataclasses
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sv2m import protocol as p
from sv2m.protocol import encryption, segments
from tests.protocol import clouds
from tests.protocol.certificates import Identity
from tests.unit.engine.surroundings import DESTINATION, SOURCE

#: What a source says, in its order.
WORDS = ("Offer", "TokenAB", "Envelope", "Transfer", "Release", "Closure")


class Sender:
    """Cloud A of one migration.

    :param deliver: hands one document to the destination; returns its signed reply, None where there is none.
    :param vm: the server's UUID at A; a new one unless given.
    :param needs: what differs from :data:`tests.protocol.clouds.NEEDS` in the offer.
    """

    def __init__(
        self,
        deliver: Callable[[bytes], bytes | None],
        *,
        me: Identity = SOURCE,
        to: Identity = DESTINATION,
        migration_id: str | None = None,
        vm: str | None = None,
        generation: int = 1,
        lifetime: timedelta = timedelta(hours=1),
        needs: Mapping[str, Any] | None = None,
    ) -> None:
        self.deliver = deliver
        self.side = clouds.Side("source", me, to)
        self.id = migration_id or str(uuid.uuid4())
        described = {**copy.deepcopy(clouds.NEEDS), "vm": vm or str(uuid.uuid4()), **(needs or {})}
        self.offer = p.Offer(
            migration_id=self.id,
            generation=generation,
            source=p.Party(me.name, me.chain),
            destination=to.name,
            mode="paused",
            not_after=datetime.now(UTC) + lifetime,
            needs=p.Needs.from_dict(described),
        )
        self.nonce = clouds.nonce("A")
        #: What it says that it sent, and signs.
        self.manifest = clouds.manifest()
        self.summaries = clouds.SUMMARIES
        self._heard: set[str] = set()

    # -- what it says -------------------------------------------------------------------------------------------

    def run(self, until: str = "Closure") -> Sender:
        """Say everything in its order, up to and with this word; what was answered already is not said again."""
        for kind in WORDS[: WORDS.index(until) + 1]:
            if kind not in self._heard:
                self.say(kind)
        return self

    def say(self, kind: str, **lies: Any) -> p.Message | None:
        """Make this word, unless it is made, deliver it and hear the answer.

        :param lies: fields that are not what they should be; signed all the same.
        """
        if kind not in self.side.transcript or lies:
            self.make(kind, **lies)
        return self.hear(kind, self.deliver(self.side.document(kind)))

    def make(self, kind: str, **lies: Any) -> bytes:
        """Sign this word, and believe from here on that it was said so."""
        (send,) = (one for one in self.side.machine.local(self._event(kind)) if isinstance(one, p.Send))
        return self._signed(dataclasses.replace(send.message, **lies))

    def hear(self, kind: str, reply: bytes | None) -> p.Message | None:
        """Take the answer to this word."""
        self._heard.add(kind)
        if kind == "Envelope":
            self.side.local(p.EnvelopeTaken())
        if reply is None:
            return None
        self.side.receive(reply, datetime.now(UTC))
        return self.side.transcript[p.peek(reply).kind].message

    def withdrawal(self) -> bytes:
        """Give up, and sign that: the document is not yet delivered."""
        self.side.machine.local(p.Failed("changed-my-mind"))
        (send,) = (one for one in self.side.machine.local(p.Undone(datetime.now(UTC))) if isinstance(one, p.Send))
        return self._signed(send.message)

    # -- what it is made of -------------------------------------------------------------------------------------

    def keys(self, vmk: bytes = clouds.VMK, eik: bytes = clouds.EIK, **other: Any) -> tuple[p.WrappedKey, ...]:
        """VMK and EIK wrapped to B's fresh key, committed to.

        :param other: a ``recipient``, ``label`` or ``committed`` (migration id) that is not this session's.
        """
        machine = self.side.machine
        recipient = other.get("recipient") or self.accepted.ephemeral_key
        label = other.get("label") or machine.context_digest
        named = [("VMK", "vmk", vmk)]
        named += [(f"EIK-{n}", "luks-passphrase", eik) for n in range(len(self.offer.needs.encrypted_disks))]
        return tuple(
            p.WrappedKey(
                name=name,
                kind=kind,
                cipher_value=encryption.wrap_key(key, name, recipient, label),
                commitment=encryption.commitment(name, other.get("committed") or self.id, key),
                size=256,
            )
            for name, kind, key in named
        )

    def trailer(self, manifest: bytes | None = None, binding: p.Binding | None = None) -> bytes:
        """The signature over a manifest, as this session's unless told otherwise."""
        context = p.trailer_context(binding or self.side.machine.binding())
        me = self.side.identity
        return p.sign_manifest(context, manifest or self.manifest.to_xml(), me.key, me.chain)

    def sealed(self, manifest: bytes | None = None, binding: p.Binding | None = None) -> dict[str, bytes]:
        """A trailer in a Transfer: sealed under VMK, and named."""
        signature = self.trailer(manifest, binding)
        sealed = segments.seal_signature(clouds.VMK, signature)
        return {"trailer_digest": p.trailer_digest(signature), "sealed_signature": sealed}

    @property
    def accepted(self) -> p.Accepted:
        """B's word that it takes the VM."""
        decision = self.side.machine.message(p.TokenBA2).decision
        assert isinstance(decision, p.Accepted), decision
        return decision

    @property
    def documents(self) -> dict[str, bytes]:
        """Everything that was said and heard, by kind."""
        return {kind: one.document for kind, one in self.side.transcript.items()}

    def _signed(self, message: p.Message) -> bytes:
        received = self.side.sign(message)
        transcript = self.side.transcript
        transcript[received.kind] = received
        machine = self.side.machine
        self.side.machine = p.Migration.restore("source", machine.me, machine.phase, transcript)
        return received.document

    def _event(self, kind: str) -> p.Event:
        now = datetime.now(UTC)
        makers: dict[str, Callable[[], p.Event]] = {
            "Offer": lambda: p.OfferRequested(self.offer),
            "TokenAB": lambda: p.TokenDue(self.nonce, now),
            "Envelope": lambda: p.KeysWrapped(self.keys(), clouds.PLAN),
            "Transfer": lambda: p.Sealed(self.summaries, **self.sealed()),
            "Release": lambda: p.Committed(now),
            "Closure": lambda: p.Removed(now),
        }
        return makers[kind]()
