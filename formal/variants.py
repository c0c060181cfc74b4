# SPDX-License-Identifier: Apache-2.0
"""Weakened variants of the protocol, each generated from the real model by taking out one safeguard.

A safeguard is taken out with everything that stands in for it. The protocol binds most things more than once; with
one layer gone the others still hold, which would say nothing about whether the safeguard is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

from formal import edit as e
from formal import fields
from formal.hlpsl import syntax as s
from formal.knowledge import Matching
from formal.scenarios import SCENARIOS
from formal.search import Bounds, Result, search

#: Parts that one safeguard consists of, by fields.PARTS' names.
KEYS: Final = ("vmk.cipher_value", "vmk.commitment", "eik.cipher_value", "eik.commitment")
NAMES: Final = ("source", "destination", "source_certificate_digest", "destination_certificate_digest")
SESSION: Final = ("migration_id", "sid")


@dataclass(frozen=True)
class Safeguard:
    """Something that makes the protocol safe, and how to take it out.

    :param rule: what it does, in protocol.md's words.
    :param removed: what the variant lacks.
    :param expected: the goals of which one must break.
    :param scenario: where the attack is looked for.
    """

    name: str
    rule: str
    removed: str
    edits: tuple[e.Edit, ...]
    expected: tuple[str, ...]
    scenario: str

    def weakened(self, specification: s.Specification) -> s.Specification:
        """The specification without it."""
        return reduce(lambda result, edit: edit(result), self.edits, specification)


def _prepared_first(steps: dict[str, s.Transition]) -> dict[str, s.Transition]:
    """B says Prepared when the Transfer comes; segments and the trailer's signature are looked at later."""

    def sealed(term: s.Term) -> s.Term:
        match term:
            case s.Crypt(s.Pair(s.Name("stream0"), _), s.Name("VMK")):
                return s.Name("Sealed", primed=True)
            case s.Apply(s.Name("H"), s.Crypt(body, _)) if fields.tag_of(body) == "binding":
                return s.Name("Named", primed=True)
        return term

    def at(step: s.Transition, state: str, following: str) -> s.Transition:
        _, *guards = step.guards
        _, *actions = step.actions
        first = s.Equal(s.Name("State"), s.Name(state))
        return replace(step, guards=(first, *guards), actions=(s.Assign("State", s.Name(following)), *actions))

    def fact(action: s.Action) -> bool:
        return isinstance(action, (s.Witness, s.Request))

    def now(term: s.Term) -> s.Term:
        return replace(term, primed=True) if term == s.Name("VM") else term

    transfer, segment = e.substitute(steps["transfer"], sealed), steps["segment"]
    late = tuple(
        replace(action, value=s.rewrite(action.value, now))
        for action in transfer.actions
        if isinstance(action, (s.Witness, s.Request))
    )
    early = replace(transfer, actions=tuple(action for action in transfer.actions if not fact(action)))
    return {
        **steps,
        "transfer": at(early, "3", "4"),
        "segment": at(replace(segment, actions=(*segment.actions, *late)), "4", "5"),
    }


SAFEGUARDS: Final[Sequence[Safeguard]] = (
    Safeguard(
        "nonces",
        "R_A and R_B are fresh, and in both tokens",
        "both nonces in every message",
        (
            e.drop("tokenba1", "nonce_b"),
            e.drop("tokenab", "nonce_a", "nonce_b"),
            e.drop("tokenba2", "nonce_a", "nonce_b"),
            e.forget("source_auth", "Ra", "Rb"),
            e.forget("target_auth", "Ra", "Rb"),
        ),
        ("source_auth",),
        "ab+ab",
    ),
    Safeguard(
        "names",
        "both clouds' names and certificates in every signature",
        "names and certificate digests in Offer (the destination's), tokens, Envelope, key label, trailer",
        (
            e.drop("offer", "destination"),
            e.drop("tokenab", *NAMES),
            e.drop("tokenba2", *NAMES),
            e.drop("envelope", *NAMES),
            e.drop("context", *NAMES),
            e.drop("binding", "source", "destination"),
        ),
        ("source_auth", "target_auth"),
        "ab+ai",
    ),
    Safeguard(
        "tags",
        "each message has a root element of its own kind",
        "the kinds of Prepared and Receipt, and what else tells them apart: outcome and the Release's digest",
        (
            e.drop("receipt", "outcome", "release_digest"),
            e.untag("prepared", "receipt"),
        ),
        ("vm_outcome",),
        "ab",
    ),
    Safeguard(
        "offer digest",
        "both tokens name the Offer",
        "what is offered out of the Offer's signature; its digest in the tokens; plan and generation, which follow it",
        (
            e.expose("offer", "terms"),
            e.drop("tokenab", "offer_digest"),
            e.drop("tokenba2", "offer_digest"),
            e.drop("envelope", "streams"),
            e.drop("transfer", "streams"),
            e.drop("binding", "generation"),
        ),
        ("source_auth",),
        "ab",
    ),
    Safeguard(
        "session id",
        "sid in every message after the first four",
        "sid and migration id in messages 5 to 11, and the digests by which these name each other",
        (
            e.drop("envelope", *SESSION),
            e.drop("context", *SESSION),
            e.drop("binding", *SESSION, "envelope_digest"),
            e.drop("transfer", *SESSION),
            e.drop("prepared", *SESSION, "envelope_digest", "transfer_digest"),
            e.drop("release", *SESSION, "envelope_digest", "transfer_digest", "prepared_digest"),
            e.drop("receipt", *SESSION, "envelope_digest", "transfer_digest", "release_digest"),
            e.drop("closure", *SESSION, "receipt_digest"),
        ),
        ("vm_prepared",),
        "ab+ab",
    ),
    Safeguard(
        "manifest signature",
        "A signs the manifest of all plaintext segments",
        "the trailer's signature (what it said is still sealed under VMK and inside A's Transfer)",
        (e.unsign("binding"),),
        ("evidence_of_origin",),
        "ai+judge",
    ),
    Safeguard(
        "trailer's digest",
        "the Transfer names the trailer's signature, which B has verified",
        "the digest of the trailer's signature in Transfer",
        (e.drop("transfer", "trailer_digest"),),
        ("evidence_of_vm",),
        "ib+judge of VM",
    ),
    Safeguard(
        "key binding",
        "EncryptedKeys inside the signed Envelope, a digest over the keys in the trailer",
        "keys and commitments out of the Envelope's signature, the keys' digest out of the trailer",
        (e.expose("envelope", *KEYS), e.drop("binding", "keys_digest")),
        ("vm_origin",),
        "ab",
    ),
    Safeguard(
        "signed ekB",
        "ekB is inside the signed TokenBA2",
        "ekB out of TokenBA2's signature",
        (e.expose("tokenba2", "decision.ephemeral_key"),),
        ("target_auth", "secret_vmk"),
        "ab",
    ),
    Safeguard(
        "verify before Prepared",
        "B signs Prepared only after everything is verified",
        "the order: B signs when the Transfer comes, and takes and verifies the segments afterwards",
        (
            e.declare("target", "Sealed", "message"),
            e.declare("target", "Named", "message"),
            e.transitions("target", _prepared_first),
        ),
        ("vm_prepared",),
        "ab",
    ),
    Safeguard(
        "name in the certificate",
        "A checks that CertB names the cloud it meant, B that CertA does",
        "the names in certificates",
        (e.anonymous_certificates,),
        ("source_auth", "target_auth", "secret_vmk"),
        "ab",
    ),
    Safeguard(
        "signed Receipt",
        "B signs exactly one outcome",
        "the Receipt's signature",
        (e.unsign("receipt"),),
        ("vm_outcome", "evidence_of_receipt"),
        "ab",
    ),
)

#: What the tables' figures were found with.
BOUNDS: Final = Bounds(Matching(by_origin=True))


def attack(safeguard: Safeguard, specification: s.Specification) -> Result:
    """The search for the attack that taking the safeguard out opens."""
    return search(SCENARIOS[safeguard.scenario].of(safeguard.weakened(specification)), BOUNDS)
