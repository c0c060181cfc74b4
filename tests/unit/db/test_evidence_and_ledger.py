# SPDX-License-Identifier: Apache-2.0
"""Messages are written once; the ledger remembers for ever."""

from __future__ import annotations

import threading

import pytest

from sv2m import errors
from sv2m.db import engine, ledger, messages, migrations

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def migration() -> str:
    with engine.session() as session:
        values = {"id": "m1", "role": "destination", "peer": "a", "project_id": "p", "phase": "challenged"}
        return migrations.create(session, **values).id


def test_same_document_again_is_no_change(migration: str) -> None:
    for _ in range(2):
        with engine.session() as session:
            messages.record(session, migration, "Offer", messages.RECEIVED, b"one", b"digest")
    with engine.session() as session:
        assert [(m.kind, m.document) for m in messages.list_for(session, migration)] == [("Offer", b"one")]


def test_large_documents_come_back_whole(migration: str) -> None:
    large = bytes(range(256)) * 8192 + b"end"
    with engine.session() as session:
        messages.record(session, migration, "Transfer", messages.SENT, large, b"d")
        messages.record(session, migration, "crl", messages.SENT, b"", b"d")
    with engine.session() as session:
        transfer, crl = messages.list_for(session, migration)
    # Readable after the session has ended.
    assert (transfer.document, crl.document) == (large, b"")


def test_other_document_of_the_same_kind_is_refused(migration: str) -> None:
    with engine.session() as session:
        messages.record(session, migration, "Offer", messages.RECEIVED, b"one", b"d1")
        messages.record(session, migration, "TokenBA1", messages.SENT, b"one", b"d2")
    with pytest.raises(errors.ReplayedMessage), engine.session() as session:
        messages.record(session, migration, "Offer", messages.RECEIVED, b"two", b"d3")
    with pytest.raises(errors.PhaseConflict), engine.session() as session:
        messages.record(session, migration, "TokenBA1", messages.SENT, b"two", b"d4")


def test_documents_in_order(migration: str) -> None:
    with engine.session() as session:
        for kind in ("Offer", "TokenBA1", "TokenAB", "chain"):
            messages.record(session, migration, kind, messages.SENT, kind.encode(), b"")
        assert [m.kind for m in messages.list_for(session, migration)] == [
            "Offer",
            "TokenBA1",
            "TokenAB",
            "chain",
        ]
        found = messages.find(session, migration, "TokenAB")
        assert found is not None
        assert found.document == b"TokenAB"
        assert messages.find(session, migration, "Receipt") is None


def enter(migration_id: str, generation: int, *, peer: str = "a", vm: str = "vm1") -> None:
    with engine.session() as session:
        ledger.enter(session, migration_id, peer, vm, generation)


def test_migration_id_once_for_ever() -> None:
    enter("m1", 5)
    with pytest.raises(errors.ReplayedMessage, match="m1"):
        enter("m1", 6, vm="vm2")


@pytest.mark.parametrize("generation", [4, 5])
def test_older_or_equal_state_of_the_vm_is_refused(generation: int) -> None:
    enter("m1", 5)
    with pytest.raises(errors.ReplayedMessage, match="not newer"):
        enter("m2", generation)
    enter("m3", 6)
    with engine.session() as session:
        assert ledger.last_generation(session, "a", "vm1") == 6
        assert ledger.last_generation(session, "a", "vm9") is None


def test_generations_of_other_vms_and_peers_do_not_matter() -> None:
    enter("m1", 5)
    enter("m2", 5, vm="vm2")
    enter("m3", 5, peer="c")


def test_of_many_at_once_one_is_entered() -> None:
    start = threading.Barrier(5)
    entered: list[str] = []

    def attempt(name: str) -> None:
        start.wait()
        try:
            enter(name, 7)
            entered.append(name)
        except errors.ReplayedMessage:
            return

    threads = [threading.Thread(target=attempt, args=(f"m{n}",)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 1
