# SPDX-License-Identifier: Apache-2.0
"""Somebody on the wire, or A itself, against B: every word dropped, repeated, changed, late, early, or another's.

Most stories try an attack at every word of one migration and then let that very migration arrive: nothing was lost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lxml import etree

from sv2m import errors
from sv2m import protocol as p
from sv2m.engine import conductor
from tests.attacks.cloud_b import CloudB
from tests.attacks.federation import C, identity
from tests.protocol.test_session_attacks import CASES, _other
from tests.protocol.test_signature_attacks import twin
from tests.unit.engine.sender import WORDS


def at_every_word(b: CloudB, attack: Callable[[str, bytes], Iterator[errors.SV2MError]]) -> list[errors.SV2MError]:
    """Try an attack just before each true word; B is where it was afterwards, and the migration arrives whole."""
    caught = []
    for kind in WORDS:
        honest = b.source.make(kind)
        for error in attack(kind, honest):
            caught.append(error)
        b.source.say(kind)
    assert b.carry_on().phase == "closed"
    assert b.runs
    return caught


def changed_leaves(document: bytes) -> Iterator[bytes]:
    """The document with each of its fields altered, and each of its attributes; all are still canonical XML."""
    root = etree.fromstring(document)
    places = [(path, None) for path in range(len(list(root.iter())))]
    for number, _ in places:
        evil = etree.fromstring(document)
        element = list(evil.iter())[number]
        if not len(element) and element.text:
            flipped = "B" if element.text[0] != "B" else "C"
            element.text = flipped + element.text[1:]
            yield etree.tostring(evil, method="c14n", exclusive=True)
        for name in element.attrib:
            evil = etree.fromstring(document)
            list(evil.iter())[number].set(name, element.get(name)[:-1] + "0")
            yield etree.tostring(evil, method="c14n", exclusive=True)


def test_every_field_altered_on_the_way(b: CloudB) -> None:
    tried = 0

    def attack(kind: str, honest: bytes) -> Iterator[errors.SV2MError]:
        nonlocal tried
        for document in changed_leaves(honest):
            if document != honest:
                tried += 1
                yield b.refusal(document)

    at_every_word(b, attack)
    assert tried > 100
    assert b.rows == 1


def test_a_lies_in_every_field_and_signs_it(b: CloudB) -> None:
    def attack(kind: str, honest: bytes) -> Iterator[errors.SV2MError]:
        message = b.source.side.transcript[kind].message
        for field in (field for word, field in CASES if word == kind and field != "migration_id"):
            value = getattr(message, field)
            other = _other(None, kind, field, value)  # type: ignore[arg-type]
            if field == "released_at":
                other = b.source.offer.not_after + timedelta(seconds=1)
            lie = dataclasses.replace(message, **{field: other})
            error = b.refusal(b.source.side.sign(lie).document)
            assert error.fault == "peer", (kind, field)
            yield error

    assert len(at_every_word(b, attack)) > 20


def test_bs_own_words_reflected(b: CloudB) -> None:
    def attack(kind: str, honest: bytes) -> Iterator[errors.SV2MError]:
        for word in set(b.documents) - set(WORDS):
            yield b.refusal(b.source.side.document(word))

    for error in at_every_word(b, attack):
        assert isinstance(error, errors.UnexpectedMessage)


def test_another_peer_of_the_same_ca_signs_as_words(b: CloudB) -> None:
    """C has an agreement too, and a good certificate; but the migration is A's."""
    c = identity(C)

    def attack(kind: str, honest: bytes) -> Iterator[errors.SV2MError]:
        if kind != "Offer":
            yield b.refusal(p.sign(p.encode(p.decode(honest)), c.key, c.chain))

    assert all(isinstance(error, errors.InvalidSignature) for error in at_every_word(b, attack))


def test_as_words_without_a_signature(b: CloudB) -> None:
    def attack(kind: str, honest: bytes) -> Iterator[errors.SV2MError]:
        yield b.refusal(p.encode(p.decode(honest)))

    at_every_word(b, attack)


def test_the_twin_of_every_word(b: CloudB) -> None:
    """Anybody can make of an ECDSA signature another one that is as good. B takes the one that A made only."""

    def attack(kind: str, honest: bytes) -> Iterator[errors.SV2MError]:
        yield b.refusal(twin(honest))

    assert len(at_every_word(b, attack)) == len(WORDS)


def test_every_word_twice_is_one_word(b: CloudB) -> None:
    for kind in WORDS:
        b.source.make(kind)
        document = b.source.side.document(kind)
        first = b.post(document)
        asked = len(b.recorder.calls)
        assert b.post(document) == b.post(document) == first
        assert kind == "Release" or len(b.recorder.calls) == asked
        b.source.hear(kind, first)
    assert b.carry_on().phase == "closed"
    assert b.runs
    assert b.agent.runs == 1


def test_another_migrations_words_change_nothing_in_this_one(b: CloudB) -> None:
    """Somebody recorded a whole migration, and plays it again beside the next one."""
    earlier = b.source.run()
    b.carry_on()
    server = next(iter(b.nova.servers))
    b.agent.state, b.agent.runs = "unknown", 0
    b.source = b.sender(generation=2)
    for kind in WORDS:
        for document in earlier.documents.values():
            if p.peek(document).kind in WORDS:
                b.post(document)
        b.source.say(kind)
    assert b.carry_on().phase == "closed"
    assert b.agent.runs == 1
    assert len(b.nova.servers) == 2
    assert server in b.nova.servers


@pytest.mark.parametrize("dropped", WORDS[1:5])
def test_a_word_that_never_comes(b: CloudB, dropped: str) -> None:
    b.source.run(WORDS[WORDS.index(dropped) - 1])
    row = b.look(later=timedelta(hours=2))
    assert (row.phase, row.status, row.error_code) == ("undone", "failed", "source-silent")
    assert b.untouched


@pytest.mark.parametrize("late", WORDS[1:4])
def test_a_word_that_comes_when_b_has_given_up_is_told_why(b: CloudB, late: str) -> None:
    """B's engine was away when A said it, and looks at the clock before it hears the word again."""
    b.source.run(WORDS[WORDS.index(late) - 1])
    document = b.source.make(late)
    b.look(later=timedelta(hours=2))
    refused = b.refusal(document)
    assert isinstance(refused, errors.RefusedByPeer)
    assert refused.code == "source-silent"
    assert b.untouched


def test_a_closure_that_never_comes_leaves_no_key(b: CloudB) -> None:
    b.source.run("Release")
    b.carry_on()
    assert b.runs
    b.look(later=timedelta(days=30))
    assert b.runs


@pytest.mark.parametrize("late", WORDS[:4])
def test_a_word_that_was_held_back_past_not_after(b: CloudB, late: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if late != "Offer":
        b.source.run(WORDS[WORDS.index(late) - 1])
    document = b.source.make(late)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(hours=2)

    monkeypatch.setattr(conductor, "datetime", Later)
    assert b.refusal(document).code == "deadline-passed"
    if late != "Offer":
        b.look(later=timedelta(hours=2))
    assert b.untouched


def test_a_release_that_was_held_back_until_b_had_given_up(b: CloudB) -> None:
    """B says so once, signed; then A may let its server run, and only then."""
    b.source.run("Transfer")
    release = b.source.make("Release")
    b.look(later=timedelta(hours=2))
    assert b.untouched
    receipt = b.source.hear("Release", b.post(release))
    assert isinstance(receipt, p.Receipt)
    assert (receipt.outcome, receipt.reason) == ("refused", "gave-up")
    assert b.source.side.machine.phase == "returning"
    assert not b.agent.runs


def test_words_before_their_time(b: CloudB) -> None:
    """A signs what it should only sign later, with whatever it knows so far."""

    def attack(kind: str, honest: bytes) -> Iterator[errors.SV2MError]:
        if kind in ("Offer", "Transfer"):
            return  # of an unknown migration; a Transfer in its time is test_streams' affair
        machine, digest = b.source.side.machine, b"\1" * 48
        sid = digest if kind == "TokenAB" else machine.sid
        now = datetime.now(UTC)
        early: dict[str, p.Message] = {
            "Transfer": p.Transfer(b.source.id, sid, b.source.summaries, digest, bytes(64)),
            "Release": p.Release(b.source.id, sid, digest, digest, digest, now),
            "Closure": p.Closure(b.source.id, sid, "removed", digest, now),
        }
        for word, message in early.items():
            if WORDS.index(word) > WORDS.index(kind):
                error = b.refusal(b.source.side.sign(message).document)
                assert error.fault == "peer"
                yield error

    assert len(at_every_word(b, attack)) == 3 + 3 + 1


def test_a_second_word_of_a_kind_is_refused_to_the_end(b: CloudB) -> None:
    """One Envelope, one Transfer, one Release in a session: none of them can be exchanged for another later."""
    seconds: list[bytes] = []
    for kind in WORDS:
        b.source.make(kind)
        if kind == "Envelope":
            envelope = b.source.side.machine.message(p.Envelope)
            seconds.append(b.source.side.sign(dataclasses.replace(envelope, keys=b.source.keys())).document)
        if kind == "Release":
            release = b.source.side.machine.message(p.Release)
            other = dataclasses.replace(release, released_at=release.released_at - timedelta(seconds=5))
            seconds.append(b.source.side.sign(other).document)
        b.source.say(kind)
        for document in seconds:
            assert isinstance(b.refusal(document), errors.ReplayedMessage)
    b.carry_on()
    assert b.runs


def test_a_withdrawal_after_the_release_is_not_taken(b: CloudB) -> None:
    b.source.run("Transfer")
    withdrawal = b.source.side.sign(
        p.Closure(b.source.id, b.source.side.machine.sid, "withdrawn", p.NOTHING, datetime.now(UTC))
    ).document
    b.source.run("Release")
    assert b.refusal(withdrawal).fault == "peer"
    b.source.run()
    b.carry_on()
    assert b.runs
