# SPDX-License-Identifier: Apache-2.0
"""Which migrations still need what they began with, and that their agreement stays for them."""

from __future__ import annotations

import pytest

from sv2m import errors
from sv2m.db import engine, messages, migrations, owing, peers

pytestmark = pytest.mark.usefixtures("database")

PEER = "cloud-b.sv2m"


def ended(role: str, phase: str, *kinds: str) -> str:
    """A migration that has ended in a phase, with documents of these kinds."""
    migration_id = f"{role}-{phase}-{len(kinds)}"
    with engine.session() as session:
        values = {"id": migration_id, "role": role, "peer": PEER, "project_id": "p", "status": "failed"}
        migrations.create(session, phase=phase, **values)
        for kind in kinds:
            messages.record(session, migration_id, kind, messages.SENT, kind.encode(), b"")
    return migration_id


def owed(peer: str | None = None) -> list[str]:
    with engine.session() as session:
        return [one.id for one in owing.list_owing(session, peer)]


def test_a_source_owes_its_closure() -> None:
    closing, telling = ended("source", "closing", "Prepared"), ended("source", "telling")
    for phase in ("closed", "withdrawn", "returned", "refused"):
        ended("source", phase, "Prepared")
    assert owed() == owed(PEER) == [closing, telling]
    assert owed("cloud-c.sv2m") == []


@pytest.mark.parametrize("phase", ["undone", "settled"])
def test_a_destination_that_was_prepared_owes_an_answer_until_the_closure(phase: str) -> None:
    ended("destination", phase)
    asked = ended("destination", phase, "Prepared")
    ended("destination", phase, "Prepared", "Closure")
    assert owed() == [asked]
    with engine.session() as session:
        assert owing.may_be_asked(session, asked)
        assert not owing.may_be_asked(session, f"destination-{phase}-0")
        assert not owing.may_be_asked(session, f"destination-{phase}-2")


@pytest.mark.parametrize(
    ("role", "phase", "kinds"),
    [("source", "closing", ()), ("source", "telling", ()), ("destination", "undone", ("Prepared",))],
)
def test_an_agreement_stays_while_one_cloud_must_hear_from_the_other(
    role: str, phase: str, kinds: tuple[str, ...]
) -> None:
    with engine.session() as session:
        peers.create(session, name=PEER, url="https://b", ca_pem="pem", direction="both")
    migration_id = ended(role, phase, *kinds)
    why = f"1 migrations .* need its agreement: {migration_id}"
    with pytest.raises(errors.Conflict, match=why) as refused, engine.session() as session:
        peers.delete(session, PEER)
    assert refused.value.code == "peer-in-use"
    assert "--disable" in refused.value.remedy
    with engine.session() as session:
        if role == "source":
            migrations.advance(session, migration_id, phase, 0, "closed")
        else:
            messages.record(session, migration_id, "Closure", messages.RECEIVED, b"closure", b"")
        peers.delete(session, PEER)
        assert peers.list_all(session) == []
