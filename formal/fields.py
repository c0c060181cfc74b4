# SPDX-License-Identifier: Apache-2.0
"""Which part of a message of sv2m.hlpsl is which field of sv2m.protocol: the one table that both are held against.

A document of the model is ``{tag.part.part...}_inv(K)``. Here every tag has the names of its parts, in their order.
A name is that of a field of the message's dataclass in sv2m/protocol/messages.py (of Binding, of the session's
context); with a dot, of a field of a field. tests/formal fails when a field, a part or a whole message exists on one
side only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from formal.hlpsl import HlpslError
from formal.hlpsl import syntax as s

#: Parts by tag. The first ten are messages, the last two what is signed and what labels keys inside them.
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "offer": ("migration_id", "terms", "source.name", "source.chain", "destination"),
    "tokenba1": ("migration_id", "destination.name", "destination.chain", "nonce_b"),
    "tokenab": (
        "migration_id",
        "nonce_a",
        "nonce_b",
        "source",
        "destination",
        "source_certificate_digest",
        "destination_certificate_digest",
        "offer_digest",
    ),
    "tokenba2": (
        "migration_id",
        "nonce_b",
        "nonce_a",
        "destination",
        "source",
        "destination_certificate_digest",
        "source_certificate_digest",
        "offer_digest",
        "decision",
        "decision.ephemeral_key",
    ),
    "envelope": (
        "migration_id",
        "sid",
        "source",
        "destination",
        "source_certificate_digest",
        "destination_certificate_digest",
        "streams",
        "vmk.cipher_value",
        "vmk.commitment",
        "eik.cipher_value",
        "eik.commitment",
    ),
    "transfer": ("migration_id", "sid", "streams", "trailer_digest", "sealed_signature"),
    "prepared": ("migration_id", "sid", "envelope_digest", "transfer_digest"),
    "release": ("migration_id", "sid", "envelope_digest", "transfer_digest", "prepared_digest"),
    "receipt": ("migration_id", "sid", "outcome", "envelope_digest", "transfer_digest", "release_digest"),
    "closure": ("migration_id", "sid", "outcome", "receipt_digest"),
    "binding": (
        "migration_id",
        "sid",
        "source",
        "destination",
        "generation",
        "envelope_digest",
        "keys_digest",
        "manifest",
    ),
    "context": (
        "migration_id",
        "sid",
        "source",
        "destination",
        "source_certificate_digest",
        "destination_certificate_digest",
    ),
}

#: What stands in a part, in the roles source and target; primes left out.
MEANING: Final[dict[str, tuple[str, ...]]] = {
    "migration_id": ("Mid",),
    "terms": ("Terms",),
    "generation": ("Terms",),
    "source": ("A",),
    "source.name": ("A",),
    "source.chain": ("{A.Ka}_inv(Kca)",),
    "destination": ("B",),
    "destination.name": ("B",),
    "destination.chain": ("{B.Kb}_inv(Kca)",),
    "nonce_a": ("Ra",),
    "nonce_b": ("Rb",),
    "source_certificate_digest": ("H({A.Ka}_inv(Kca))",),
    "destination_certificate_digest": ("H({B.Kb}_inv(Kca))",),
    "offer_digest": ("H(Offer)",),
    "decision": ("accepted",),
    "decision.ephemeral_key": ("EkB",),
    "sid": ("Sid",),
    "streams": ("H(plan.Terms)",),
    "vmk.cipher_value": ("{VMK.Context}_EkB",),
    "vmk.commitment": ("H(vmk.Mid.VMK)",),
    "eik.cipher_value": ("{EIK.Context}_EkB",),
    "eik.commitment": ("H(eik.Mid.EIK)",),
    "envelope_digest": ("H(Envelope)",),
    "transfer_digest": ("H(Transfer)",),
    "prepared_digest": ("H(Prepared)",),
    "release_digest": ("H(Release)",),
    "receipt_digest": ("H(Receipt)",),
    "outcome": ("resumed", "refused", "removed"),
    "keys_digest": ("H(keys.H(vmk.Mid.VMK).H(eik.Mid.EIK))",),
    "manifest": ("H(manifest.VM)",),
    "trailer_digest": (
        "H(Trailer)",
        "H({binding.Mid.Sid.A.B.Terms.H(Envelope).H(keys.H(vmk.Mid.VMK).H(eik.Mid.EIK)).H(manifest.VM)}_inv(Ka))",
    ),
    "sealed_signature": (
        "{stream0.Trailer}_VMK",
        "{stream0.{binding.Mid.Sid.A.B.Terms.H(Envelope).H(keys.H(vmk.Mid.VMK).H(eik.Mid.EIK)).H(manifest.VM)}"
        "_inv(Ka)}_VMK",
    ),
}

#: Fields of the code that several parts or none stand for, and why.
MERGED: Final[dict[tuple[str, str], str]] = {
    ("Offer", "generation"): "in terms",
    ("Offer", "mode"): "in terms",
    ("Offer", "not_after"): "in terms; that it is a time is not modelled, since no clock is",
    ("Offer", "needs"): "in terms",
    ("Envelope", "keys"): "vmk.cipher_value, vmk.commitment, eik.cipher_value, eik.commitment; names, kinds and sizes "
    "are constants there. One EIK stands for all",
    ("Accepted", "endpoint_host"): "where data goes: the model's network is the intruder anyway",
    ("Accepted", "endpoint_port"): "as endpoint_host",
    ("Refused", "code"): "a refusal ends the exchange before anything was given away; it is not modelled",
    ("Refused", "reason"): "as code",
    ("Release", "released_at"): "a time; no clock is modelled",
    ("Receipt", "reason"): "for the operator; follows from the outcome",
    ("Receipt", "at"): "a time",
    ("Closure", "at"): "a time",
}


def tag_of(term: s.Term) -> str | None:
    """The tag of ``tag.part.part...``; None of anything else."""
    match term:
        case s.Pair(s.Name(name, False), _) if name in PARTS:
            return name
    return None


def parts(term: s.Term) -> dict[str, s.Term]:
    """The parts of ``tag.part.part...`` by their names.

    :raises HlpslError: not as many as the table has.
    """
    tag = tag_of(term)
    if tag is None:
        raise HlpslError("not a document's body")
    values = s.items(term)[1:]
    if len(values) != len(PARTS[tag]):
        raise HlpslError(f"{tag} has {len(values)} parts, but the table of fields has {len(PARTS[tag])}")
    return dict(zip(PARTS[tag], values, strict=True))


def bodies(role: s.Role) -> Iterator[s.Term]:
    """Every document's body in a role, with repetitions."""
    for transition in role.transitions:
        for item in (*transition.guards, *transition.actions):
            match item:
                case s.Receive(_, term) | s.Send(_, term) | s.Assign(_, term):
                    yield from (part for part in s.subterms(term) if tag_of(part) is not None)
