# SPDX-License-Identifier: Apache-2.0
"""Model and code have the same messages, fields and checks. Change one of them, and this says where the other is."""

from __future__ import annotations

import dataclasses
import re

import pytest

from formal import fields
from formal.hlpsl import render_term
from formal.hlpsl import syntax as s
from formal.scenarios import load
from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import states
from sv2m.protocol.wire.codecs import Struct
from sv2m.protocol.wire.shapes import _CONTEXT, SHAPES
from tests.formal.replay import AWAITED
from tests.protocol.clouds import NOW, Pair
from tests.protocol.test_session_attacks import HEARD, _other, altered, hearer

ROLES = ("source", "target")
#: Parts of the model that are dataclasses of their own in the code.
INNER = {"source": p.Party, "destination": p.Party, "decision": p.Accepted, "vmk": p.WrappedKey, "eik": p.WrappedKey}


def _fields(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def _tops(tag: str) -> set[str]:
    return {part.split(".")[0] for part in fields.PARTS[tag]}


def test_the_same_messages() -> None:
    assert [kind.lower() for kind in p.KINDS] == list(fields.PARTS)[: len(p.KINDS)]
    assert set(fields.PARTS) - {kind.lower() for kind in p.KINDS} == {"binding", "context"}


@pytest.mark.parametrize("kind", p.KINDS)
def test_the_same_fields(kind: str) -> None:
    """Every field of the code is a part of the model or is merged, with the reason; every part is a field."""
    merged = {field for cls, field in fields.MERGED if cls == kind}
    assert merged <= _fields(p.KINDS[kind])
    model = {top for top in _tops(kind.lower()) if top not in ("terms", "vmk", "eik")}
    assert model | merged == _fields(p.KINDS[kind])
    assert not model & merged


@pytest.mark.parametrize("kind", p.KINDS)
def test_the_same_fields_inside_fields(kind: str) -> None:
    by_top: dict[str, set[str]] = {}
    for part in fields.PARTS[kind.lower()]:
        top, _, inner = part.partition(".")
        if inner:
            by_top.setdefault(top, set()).add(inner)
    for top, inner in by_top.items():
        cls = INNER[top]
        merged = {field for name, field in fields.MERGED if name == cls.__name__}
        constant = {"name", "kind", "size"} if cls is p.WrappedKey else set()
        assert inner | merged | constant == _fields(cls)


def test_the_refusal_is_merged_whole() -> None:
    assert {field for name, field in fields.MERGED if name == "Refused"} == _fields(p.Refused)


def test_the_trailer_and_the_label_have_the_same_fields() -> None:
    assert set(fields.PARTS["binding"]) - {"manifest"} == _fields(p.Binding)
    assert set(fields.PARTS["context"]) == set(_CONTEXT)


@pytest.mark.parametrize("kind", p.KINDS)
def test_the_wire_has_the_fields_of_the_message(kind: str) -> None:
    shape = SHAPES[kind]
    if isinstance(shape, Struct):
        assert set(shape._fields) | {"migration_id"} == _fields(p.KINDS[kind])
    else:
        document = p.encode(Pair().run(HEARD[kind][0]).a.transcript[kind].message)
        assert p.decode(document) == p.decode(p.encode(p.decode(document)))


def test_the_tag_is_the_root_of_the_document() -> None:
    pair = Pair().run()
    for kind, received in pair.a.transcript.items():
        assert re.match(rb"<sv2m:" + kind.encode() + rb"\b", received.document)


@pytest.mark.parametrize("role", ROLES)
def test_every_part_means_what_its_field_is(role: str) -> None:
    found = set()
    for body in fields.bodies(load().roles[role]):
        tag = fields.tag_of(body)
        assert tag is not None
        for part, value in fields.parts(body).items():
            meaning = render_term(value).replace("'", "")
            assert meaning in fields.MEANING[part], (tag, part)
        found.add(tag)
    assert found >= set(fields.PARTS) - ({"closure"} if role == "target" else set())


def test_each_role_receives_what_its_table_of_phases_says() -> None:
    names = {"source": "source", "target": "destination"}
    for role in ROLES:
        steps = load().roles[role].transitions
        awaited = {AWAITED[role, step.label] for step in steps if (role, step.label) in AWAITED}
        assert awaited == set(states.RECEIVES[names[role]])
        for step in steps:
            tags = {fields.tag_of(item.body) for item in _documents(step.receives)}
            kind = AWAITED.get((role, step.label))
            assert tags == (set() if kind is None else {kind.lower()})


def _documents(message: s.Term | None) -> list[s.Crypt]:
    items = () if message is None else s.items(message)
    return [item for item in items if isinstance(item, s.Crypt) and fields.tag_of(item.body) is not None]


def _checked(kind: str) -> dict[str, bool]:
    """Whether the receiver compares a part with what it knows, or takes it as it comes."""
    for (role, label), awaited in AWAITED.items():
        if awaited != kind:
            continue
        (step,) = (step for step in load().roles[role].transitions if step.label == label)
        (document,) = _documents(step.receives)
        return {
            part: not any(name.primed for name in s.names(value)) for part, value in fields.parts(document.body).items()
        }
    raise AssertionError(kind)


#: Where the machine alone, without the steps around it, says other than the model.
ELSEWHERE = {
    ("Offer", "source"): "validated by CMM against the agreement: tests/formal/test_replay.py, tests/unit/cmm",
    ("Offer", "not_after"): "against the clock, which is not modelled",
    ("TokenBA1", "destination"): "the name is checked, the chain is CMM's",
    ("TokenBA2", "decision"): "taken; that it is Accepted makes the transition",
    ("Envelope", "keys"): "taken; how many there are is checked",
    ("Transfer", "trailer_digest"): "compared when the trailer is opened: Migration.check_trailer",
    ("Transfer", "sealed_signature"): "checked when it is opened: Migration.check_trailer",
    ("Receipt", "outcome"): "each outcome is a transition of its own",
    ("Closure", "outcome"): "removed only; withdrawn is in formal/commit",
    ("Release", "released_at"): "against the offer's NotAfter, which is not modelled",
}
COMPARED = [
    (kind, field.name)
    for kind in HEARD
    for field in dataclasses.fields(p.KINDS[kind])
    if (kind, field.name) not in ELSEWHERE
]


@pytest.mark.parametrize(("kind", "field"), COMPARED)
def test_the_same_checks(kind: str, field: str) -> None:
    """What the model's receiver compares, the machine refuses when it is another; what it takes, the machine takes."""
    pair = Pair().run(HEARD[kind][0])
    side = hearer(pair, kind)
    sender = pair.a if side is pair.b else pair.b
    value = getattr(sender.transcript[kind].message, field)
    taken = {
        "Offer": {"generation": 5, "mode": "paused", "needs": value},
        "Receipt": {"at": NOW, "reason": value},
        "Closure": {"at": NOW},
    }.get(kind, {})
    other = taken[field] if field in taken else _other(pair, kind, field, value)
    try:
        side.machine.receive(altered(pair, kind, **{field: other}), NOW)
        refused = False
    except errors.PeerError:
        refused = True
    checked = _checked(kind)
    merged = (kind, field) in fields.MERGED
    assert refused == (not merged and checked[field])


def test_what_is_checked_elsewhere_exists() -> None:
    for kind, field in ELSEWHERE:
        assert field in _fields(p.KINDS[kind])
