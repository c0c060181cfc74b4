# SPDX-License-Identifier: Apache-2.0
"""Weakened variants: those of formal/variants.py, and what a theft or B's second outcome would break.

Each is the model's text with a few edits, and asks for the one query that must come out false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

from formal.proverif import text as t
from formal.variants import KEYS, NAMES, SESSION

#: ProVerif then does not mix up what different runs received: without it, it sees some of the attacks and cannot
#: rebuild the trace. What is true without it is true with it.
_PRECISE: Final = "set preciseActions = true.\n\n"


@dataclass(frozen=True)
class Variant:
    """A model with one safeguard less.

    :param name: as in formal/variants.py, where it has the same safeguard.
    :param lacks: what was taken out.
    :param model: of which it is a variant.
    :param broken: the query that must come out false.
    """

    name: str
    lacks: str
    model: str
    broken: str
    edits: tuple[t.Edit, ...]

    def text(self) -> str:
        """The variant, as one text that ProVerif takes.

        :raises TextError: the model has not what the variant is to lack.
        """
        asked = t.only(t.load(self.model), {self.broken: "false"})
        return _PRECISE + reduce(lambda result, edit: edit(result), self.edits, asked)


def _goal(name: str, *positions: int) -> tuple[t.Edit, ...]:
    return tuple(t.drop(f"{kind}_{name}", *positions) for kind in ("witness", "request"))


VARIANTS: Final[Sequence[Variant]] = (
    Variant(
        "nonces",
        "both nonces in every message",
        "sv2m",
        "source_auth",
        (
            t.drop_parts("tokenba1", "nonce_b"),
            t.drop_parts("tokenab", "nonce_a", "nonce_b"),
            t.drop_parts("tokenba2", "nonce_a", "nonce_b"),
            *_goal("source_auth", 4, 5),
            *_goal("target_auth", 4, 5),
            t.replace("new Ra[A, B, Rb]", "new Ra[A, B]"),
            t.replace("[A, B, Rb, EkB]", "[A, B, EkB]"),
            t.replace("[A, B, Mid, Ra]", "[A, B, Mid]"),
        ),
    ),
    Variant(
        "names",
        "names and certificate digests in Offer (the destination's), tokens, Envelope, key label, trailer",
        "sv2m",
        "source_auth",
        (
            t.drop_parts("offer", "destination"),
            t.drop_parts("tokenab", *NAMES),
            t.drop_parts("tokenba2", *NAMES),
            t.drop_parts("envelope", *NAMES),
            t.drop_parts("context", *NAMES),
            t.drop_parts("binding", "source", "destination"),
        ),
    ),
    Variant(
        "tags",
        "the kinds of Prepared and Receipt, and what else tells them apart: outcome and the Release's digest",
        "sv2m",
        "vm_outcome",
        (
            t.replace("in(net, Receipt: bitstring);", "in(net, (Receipt: bitstring, Outcome: bitstring));"),
            t.drop_parts("receipt", "outcome", "release_digest"),
            t.rename("receipt", "prepared"),
        ),
    ),
    Variant(
        "offer digest",
        "what is offered out of the Offer's signature; its digest in the tokens; plan and generation, which follow it",
        "sv2m",
        "source_auth",
        (
            t.drop_parts("offer", "terms"),
            t.replace("out(net, Offer);", "out(net, (Offer, Terms));"),
            t.replace("in(net, Offer: bitstring);", "in(net, (Offer: bitstring, Terms: bitstring));"),
            t.drop_parts("tokenab", "offer_digest"),
            t.drop_parts("tokenba2", "offer_digest"),
            t.drop_parts("envelope", "streams"),
            t.drop_parts("transfer", "streams"),
            t.drop_parts("binding", "generation"),
        ),
    ),
    Variant(
        "session id",
        "sid and migration id in messages 5 to 11, and the digests by which these name each other",
        "sv2m",
        "vm_prepared",
        (
            t.drop_parts("envelope", *SESSION),
            t.drop_parts("context", *SESSION),
            t.drop_parts("binding", *SESSION, "envelope_digest"),
            t.drop_parts("transfer", *SESSION),
            t.drop_parts("prepared", *SESSION, "envelope_digest", "transfer_digest"),
            t.drop_parts("release", *SESSION, "envelope_digest", "transfer_digest", "prepared_digest"),
            t.drop_parts("receipt", *SESSION, "envelope_digest", "transfer_digest", "release_digest"),
            t.drop_parts("closure", *SESSION, "receipt_digest"),
        ),
    ),
    Variant(
        "manifest signature",
        "the trailer's signature (what it said is still sealed under VMK and inside A's Transfer)",
        "evidence",
        "evidence_of_origin",
        (t.unsign("Trailer", "binding"),),
    ),
    Variant(
        "trailer's digest",
        "the digest of the trailer's signature in Transfer",
        "evidence",
        "evidence_of_vm",
        (t.drop_parts("transfer", "trailer_digest"),),
    ),
    Variant(
        "key binding",
        "keys and commitments out of the Envelope's signature, the keys' digest out of the trailer",
        "sv2m",
        "vm_origin",
        (
            t.drop_parts("envelope", *KEYS),
            t.drop_parts("binding", "keys_digest"),
            t.replace(
                "out(net, Envelope);",
                "out(net, (Envelope, WrappedVMK, CommitmentVMK, WrappedEIK, CommitmentEIK));",
            ),
            t.replace(
                "in(net, Envelope: bitstring);",
                "in(net, (Envelope: bitstring, WrappedVMK: bitstring, CommitmentVMK: bitstring, "
                "WrappedEIK: bitstring, CommitmentEIK: bitstring));",
            ),
        ),
    ),
    Variant(
        "signed ekB",
        "ekB out of TokenBA2's signature",
        "sv2m",
        "secret_vm",
        (
            t.drop_parts("tokenba2", "decision.ephemeral_key"),
            t.replace("out(net, TokenBA2);", "out(net, (TokenBA2, EkB));"),
            t.replace("in(net, TokenBA2: bitstring);", "in(net, (TokenBA2: bitstring, EkB: ekey));"),
        ),
    ),
    Variant(
        "verify before Prepared",
        "the order: B signs when the Transfer comes, and takes and verifies the segments afterwards",
        "sv2m",
        "vm_prepared",
        (t.late("verify"),),
    ),
    Variant("name in the certificate", "the names in certificates", "sv2m", "secret_vm", (t.drop("certificate", 0),)),
    Variant("signed Receipt", "the Receipt's signature", "sv2m", "vm_outcome", (t.unsign("Receipt", "receipt"),)),
    Variant(
        "one outcome",
        "the rule that B signs one outcome: it may sign both",
        "sv2m",
        "one_copy",
        (
            t.replace("in(net, Outcome: bitstring) [precise];\n  if Outcome = resumed then (", "(("),
            t.replace(
                "event request_vm_removed(A, B, VM)\n  ) else if Outcome = refused then",
                "event request_vm_removed(A, B, VM)\n  ) | (",
            ),
            t.replace("    out(net, Receipt).\n", "    out(net, Receipt))).\n"),
        ),
    ),
    Variant(
        "ekB of the migration",
        "an ekB for each migration: B has one for ever, and it is stolen with the rest",
        "theft",
        "secret_vm_later",
        (
            t.replace(
                "fun signing_key(cloud): skey [private].",
                "fun signing_key(cloud): skey [private].\nfun unwrapping_key(cloud): dkey [private].",
            ),
            t.replace("new DkB[A, B, Mid, Ra]: dkey;", "let DkB = unwrapping_key(B) in"),
            t.replace(
                "out(net, signing_key(honest(a)))", "out(net, (signing_key(honest(a)), unwrapping_key(honest(a))))"
            ),
        ),
    ),
)
