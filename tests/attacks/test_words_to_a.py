# SPDX-License-Identifier: Apache-2.0
"""Somebody on the wire, or B itself, against A: every answer changed, exchanged, reflected, dropped, held back.

Before the commit the server runs at A again, and nothing of the attempt is left. After it A waits for B's signature.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lxml import etree

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.engine import source
from sv2m.gateway.client import Answer
from sv2m.protocol import signing_key
from tests.attacks.cloud_a import CloudA
from tests.attacks.federation import A, B, C, identity
from tests.protocol import clouds
from tests.protocol.test_signature_attacks import twin

#: What A asks with, and what B answers.
ANSWERS = {"Offer": "TokenBA1", "TokenAB": "TokenBA2", "Transfer": "Prepared", "Release": "Receipt"}
EARLY = ["Offer", "TokenAB", "Transfer"]


def one_field_altered(document: bytes) -> bytes:
    root = etree.fromstring(document)
    field = root[1]
    while len(field):
        field = field[0]
    field.text = ("B" if field.text[0] != "B" else "C") + field.text[1:]
    return etree.tostring(root, method="c14n", exclusive=True)


def unsigned(document: bytes) -> bytes:
    return p.encode(p.decode(document))


def by_c(document: bytes) -> bytes:
    """The same words by another peer of the same CA."""
    c = identity(C)
    return p.sign(unsigned(document), c.key, c.chain)


CHANGES: dict[str, Callable[[bytes], bytes | None]] = {
    "altered": one_field_altered,
    "unsigned": unsigned,
    "by-another-peer": by_c,
    "twin": twin,
    "dropped": lambda document: None,
    "cut": lambda document: document[:-10],
    "twice-in-one": lambda document: document + document,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", EARLY)
def test_an_answer_before_the_commit_is_not_bs(a: CloudA, kind: str, change: str) -> None:
    a.in_the_middle(kind, CHANGES[change])
    row = a.run()
    assert (row.status, row.fault) == ("failed", "peer")
    assert a.runs_here
    assert "Release" not in a.documents


def test_answers_after_the_commit_are_not_bs(a: CloudA) -> None:
    """All of them, one after the other: A stays as it is, until the true one comes."""
    changes = list(CHANGES.values())
    a.in_the_middle("Release", lambda document: changes.pop()(document), times=len(changes))  # noqa: PLW0108 - another one each time
    row = a.run()
    assert (row.phase, row.status) == ("closed", "completed")
    assert not changes
    assert a.recorder.calls.count("servers.unpause") == 0
    assert a.gone


@pytest.mark.parametrize("kind", EARLY)
def test_as_own_words_reflected(a: CloudA, kind: str) -> None:
    honest = a.peer.send
    a.peer.send = lambda url, ca, document: (  # type: ignore[method-assign]
        Answer(True, document) if p.peek(document).kind == kind else honest(url, ca, document)
    )
    assert a.run().fault == "peer"
    assert a.runs_here


@pytest.mark.parametrize("kind", EARLY)
def test_an_answer_of_another_migration(a: CloudA, kind: str) -> None:
    """B's own good signature, of yesterday's migration."""
    yesterday = clouds.Pair(identity(A), identity(B)).run()
    a.in_the_middle(kind, lambda _: yesterday.b.document(ANSWERS[kind]))
    assert a.run().fault == "peer"
    assert a.runs_here


#: What B must say otherwise than it should: word -> fields.
LIES: list[tuple[str, dict[str, Any]]] = [
    ("TokenBA1", {"destination": p.Party(C, identity(B).chain)}),
    ("TokenBA2", {"nonce_a": bytes(32)}),
    ("TokenBA2", {"nonce_b": bytes(32)}),
    ("TokenBA2", {"source": "cloud-c.sv2m"}),
    ("TokenBA2", {"destination": "cloud-c.sv2m"}),
    ("TokenBA2", {"source_certificate_digest": bytes(32)}),
    ("TokenBA2", {"destination_certificate_digest": bytes(32)}),
    ("TokenBA2", {"offer_digest": bytes(48)}),
    ("Prepared", {"sid": bytes(48)}),
    ("Prepared", {"envelope_digest": bytes(48)}),
    ("Prepared", {"transfer_digest": bytes(48)}),
]


@pytest.mark.parametrize(("word", "fields"), LIES, ids=[f"{word}-{next(iter(fields))}" for word, fields in LIES])
def test_b_lies_in_a_field_and_signs_it(a: CloudA, word: str, fields: dict[str, Any]) -> None:
    a.lies(word, **fields)
    row = a.run()
    assert row.fault == "peer"
    assert row.error_code in ("wrong-party", "replayed-message", "wrong-document")
    assert a.runs_here


def test_b_signs_a_receipt_for_something_else(a: CloudA) -> None:
    """A waits: nothing but a Receipt for its own Release ends it, and the server is nobody else's meanwhile."""
    asked: list[str] = []
    honest = a.peer.send
    lies = [{"sid": bytes(48)}, {"envelope_digest": bytes(48)}, {"transfer_digest": bytes(48)}]
    lies += [{"release_digest": bytes(48)}, {"release_digest": bytes(48), "outcome": "refused", "reason": "none-such"}]

    def lying(url: str, ca: str, document: bytes) -> Answer:
        answer = honest(url, ca, document)
        if p.peek(document).kind != "Release" or not lies:
            return answer
        assert a.waits
        asked.append("again")
        receipt = a.peer.side.machine.message(p.Receipt)
        fields = {**{name: getattr(receipt, name) for name in receipt.__dataclass_fields__}, **lies.pop()}
        return Answer(True, a.peer.side.sign(p.Receipt(**fields)).document)

    a.peer.send = lying  # type: ignore[method-assign]
    assert a.run().phase == "closed"
    assert len(asked) == 5
    assert a.recorder.calls.count("servers.unpause") == 0


@pytest.mark.parametrize("kind", ["Offer", "TokenAB", "Envelope", "Transfer"])
def test_an_answer_that_never_comes(a: CloudA, kind: str) -> None:
    """B is silent until the offer's lifetime is over; then the server runs at A."""

    def expired(url: str, ca: str, document: bytes) -> Answer:
        if p.peek(document).kind == kind:
            with database.session() as session:
                migrations.get(session, a.id).not_after = datetime.now(UTC) - timedelta(seconds=1)
            raise errors.PeerUnreachable("no answer")
        return honest(url, ca, document)

    honest = a.peer.send
    a.peer.send = expired  # type: ignore[method-assign]
    assert a.run().error_code == "offer-expired"
    assert a.runs_here


def test_bs_word_that_comes_too_late_does_not_commit(a: CloudA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared, rightly signed; but NotAfter has passed, and B has given the server up or will."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(hours=25)

    a.before("edm.check_unchanged", lambda: monkeypatch.setattr(source, "datetime", Later))
    assert a.run().error_code == "deadline-passed"
    assert "Release" not in a.documents
    assert a.runs_here


def test_twins_are_made_by_anybody_and_taken_by_nobody() -> None:
    pair = clouds.Pair().run("hear prepared")
    document = pair.b.document("Prepared")
    assert p.decode(twin(document)) == p.decode(document)
    assert twin(document) != document
    assert signing_key.P384_ORDER.bit_length() == 384
    with pytest.raises(errors.InvalidSignature):
        pair.a.verified(twin(document))
