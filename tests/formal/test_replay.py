# SPDX-License-Identifier: Apache-2.0
"""The model's traces against the code: the honest one goes through it, those of the weakened variants do not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from formal import fields
from formal import terms as t
from formal.scenarios import SCENARIOS, load
from formal.search import search
from formal.variants import BOUNDS, SAFEGUARDS, attack
from sv2m import errors
from sv2m import protocol as p
from tests.formal.replay import Refused, World, fields_of

#: What refuses the attack that removing a safeguard opens: the error, and the step that is not done.
REFUSALS = {
    "nonces": (errors.ReplayedMessage, "target", "token"),
    "names": (errors.UnexpectedMessage, "target", "offer"),
    "tags": (Refused, "source", "resumed"),
    "offer digest": (errors.InvalidSignature, "target", "offer"),
    "session id": (errors.ReplayedMessage, "source", "prepared"),
    "manifest signature": (errors.InvalidSignature, "judge_of_origin", "judge"),
    "trailer's digest": (errors.IntegrityError, "judge_of_vm", "judge"),
    "key binding": (errors.InvalidSignature, "target", "envelope"),
    "signed ekB": (errors.InvalidSignature, "source", "decision"),
    "verify before Prepared": (errors.IntegrityError, "target", "transfer"),
    "name in the certificate": (errors.InvalidCertificate, "source", "challenge"),
    "signed Receipt": (errors.InvalidSignature, "source", "resumed"),
}


def _real(kind: str, part: str, message: Any, machine: p.Migration) -> Any:
    """The value that a document has where the model has this part."""
    match part:
        case "terms":
            return message.generation, message.mode, message.not_after, message.needs
        case "streams":
            return tuple(stream.id for stream in message.streams)
        case "decision":
            return type(message.decision).__name__.lower()
        case "source.chain" | "destination.chain":
            return getattr(message, part.split(".")[0]).chain[0]
    if kind == "envelope" and part.split(".")[0] in ("vmk", "eik"):
        key = message.keys[("vmk", "eik").index(part.split(".")[0])]
        return getattr(key, part.split(".")[1])
    value = message
    for name in part.split("."):
        value = getattr(value, name)
    return value


def test_the_honest_trace_goes_through_the_code_and_equal_terms_are_equal_bytes() -> None:
    """A term of the model has one value wherever it occurs, and no two terms have the same."""
    trace = search(SCENARIOS["ab"].of(load()), BOUNDS).trace
    world = World()
    for move in trace:
        world.play(move)
    source, target = world.instances[0].side, world.instances[1].side
    assert (source.machine.phase, target.machine.phase) == ("closing", "closing")
    assert set(source.transcript) == set(target.transcript) == set(p.KINDS)
    values: dict[t.Term, Any] = {}
    seen = set()
    for term, document in world.documents.items():
        assert isinstance(term, t.Crypt)
        kind = t.show(next(t.items(term.body)))
        seen.add(kind)
        message = source.transcript[p.peek(document).kind].message
        assert type(message).__name__.lower() == kind
        for part, value in fields_of(term).items():
            real = _real(kind, part, message, source.machine)
            if part != "streams":  # planned sizes here, reached ones there; one term stands for both
                assert values.setdefault(value, real) == real, (kind, part)
        digest = t.apply(t.atom("h", "hash_func"), term)
        assert values.setdefault(digest, source.transcript[p.peek(document).kind].digest)
    assert seen == set(fields.PARTS) - {"binding", "context"}
    assert len({repr(value) for value in values.values()}) == len(values)


def test_the_trailer_of_the_honest_trace() -> None:
    world = World()
    for move in search(SCENARIOS["ab"].of(load()), BOUNDS).trace:
        world.play(move)
    machine = world.instances[0].side.machine
    by_tag = {t.show(next(t.items(term.body))): term for term in world.documents if isinstance(term, t.Crypt)}
    sealed = fields_of(by_tag["transfer"])["sealed_signature"]
    assert isinstance(sealed, t.Crypt)
    _, trailer = t.items(sealed.body)
    assert isinstance(trailer, t.Crypt)
    bound, said = fields_of(trailer), fields_of(by_tag["envelope"])
    for part in ("migration_id", "sid", "source", "destination"):
        assert bound[part] is said[part]
        assert getattr(machine.binding(), part) == getattr(machine.message(p.Envelope), part)
    assert fields_of(by_tag["transfer"])["trailer_digest"] is t.apply(t.atom("h", "hash_func"), trailer)
    assert machine.message(p.Transfer).trailer_digest == p.trailer_digest(world.instances[0].pair.trailer())
    assert bound["generation"] is fields_of(by_tag["offer"])["terms"]
    assert machine.binding().generation == machine.message(p.Offer).generation
    assert bound["envelope_digest"] is t.apply(t.atom("h", "hash_func"), by_tag["envelope"])
    assert machine.binding().envelope_digest == machine.digest(p.Envelope)


def test_a_receipt_that_refuses_goes_through_the_code() -> None:
    """The other end of the same session: the trace of a model in which B never resumes."""
    model = load()
    target = model.roles["target"]
    refusing = dataclasses.replace(
        target, transitions=tuple(step for step in target.transitions if step.label != "resume")
    )
    changed = dataclasses.replace(model, roles={**model.roles, "target": refusing})
    world = World()
    trace = search(SCENARIOS["ab"].of(changed), BOUNDS).trace
    for move in trace:
        world.play(move)
    assert trace[-1].transition.label == "refused"
    assert world.instances[0].side.machine.phase == "returned"
    assert world.instances[1].side.machine.message(p.Receipt).outcome == "refused"


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda one: one.name)
def test_the_code_refuses_the_attack_on_a_protocol_without(safeguard) -> None:
    """Up to the step where the attack departs from an ordinary migration the code carries it out."""
    world = World()
    error, role, label = REFUSALS[safeguard.name]
    for move in attack(safeguard, load()).trace:
        if (move.instance.role.name, move.transition.label) == (role, label):
            try:
                world.play(move)
            except error:
                return
        else:
            world.play(move)
    raise AssertionError("the code did what the weakened model does")
