# SPDX-License-Identifier: Apache-2.0
"""The audit log: nothing happens without its event, and no event is alone."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from sv2m import errors
from sv2m.db import audit, engine, messages, migrations, peers
from sv2m.db.models import AuditEvent

CANARY = "c4n4ry-s3cr3t"


def make(**values: Any) -> None:
    with engine.session() as session:
        wanted = {"id": "m", "role": "source", "peer": "cloud-b", "project_id": "p", "phase": "requested"}
        migrations.create(session, **{**wanted, **values})


def events(subject: str = "m") -> list[dict[str, Any]]:
    with engine.session() as session:
        return [json.loads(event.line) for event in audit.list_for(session, subject)]


def check(subject: str = "m") -> None:
    with engine.session() as session:
        kept = audit.list_for(session, subject)
        (end,) = [chain for chain in audit.subjects(session) if chain.subject == subject]
    before = audit.NOTHING
    for number, event in enumerate(kept, start=1):
        said = json.loads(event.line)
        assert (said["number"], said["previous"]) == (number, before.hex())
        before = audit.digest_of(event.line)
    assert (end.number, end.digest) == (len(kept), before)


def test_every_change_has_its_event_in_the_same_transaction(database: sa.Engine) -> None:
    make(server_id="s", user_id="u", state={"request_id": "req-1"})
    with engine.session() as session:
        migrations.advance(session, "m", "requested", 0, "offered", owner="engine:one")
        messages.record(session, "m", "Offer", messages.SENT, b"the offer", b"")
    with engine.session() as session:
        migrations.request_abort(session, "m", by={"user_id": "mona"})
        migrations.advance(session, "m", "offered", 1, "withdrawing", error_code="aborted")
    assert [event["action"] for event in events()] == ["created", "phase", "document", "abort-requested", "phase"]
    created, offered, document, abort, _ = events()
    assert (created["user_id"], created["request_id"], created["previous"]) == ("u", "req-1", "00" * 48)
    assert (offered["phase_from"], offered["phase"], offered["by"]) == ("requested", "offered", "engine:one")
    assert (document["kind"], document["direction"]) == ("Offer", "sent")
    assert abort["user_id"] == "mona"
    check()


def test_what_was_rolled_back_has_no_event(database: sa.Engine) -> None:
    make()
    with pytest.raises(errors.PhaseConflict), engine.session() as session:
        messages.record(session, "m", "Offer", messages.SENT, b"the offer", b"")
        migrations.advance(session, "m", "requested", 7, "offered")
    assert [event["action"] for event in events()] == ["created"]
    check()


def test_what_changes_nothing_has_no_event(database: sa.Engine) -> None:
    make()
    with engine.session() as session:
        messages.record(session, "m", "Offer", messages.SENT, b"the offer", b"")
        messages.record(session, "m", "Offer", messages.SENT, b"the offer", b"")
        migrations.advance(session, "m", "requested", 0, "requested", state={"note": 1})
        migrations.record_progress(session, "m", bytes_done=1, bytes_total=2, bytes_sent=1)
    assert [event["action"] for event in events()] == ["created", "document"]


def test_two_writers_make_one_chain(database: sa.Engine) -> None:
    make()
    begin = threading.Barrier(4)

    def write(writer: int) -> None:
        begin.wait(60)
        for number in range(10):
            with engine.session() as session:
                audit.append(session, "m", "document", kind=f"{writer}-{number}")

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events()) == 41
    check()


def test_a_migration_from_before_the_log_says_so(database: sa.Engine) -> None:
    make()
    with engine.session() as session:
        session.execute(sa.text("delete from audit_events"))
        session.execute(sa.text("delete from audit_chains"))
    with engine.session() as session:
        migrations.advance(session, "m", "requested", 0, "offered")
    assert [event["action"] for event in events()] == ["adopted", "phase"]
    check()


def test_an_agreement_has_a_chain_that_outlives_it(database: sa.Engine) -> None:
    with engine.session() as session:
        made = peers.create(session, name="b", url="u", ca_pem="PEM", direction="both", by={"user_id": "root"})
        peers.update(session, "b", enabled=False)
        peers.delete(session, "b")
    created, changed, deleted = events(made.id)
    assert (created["user_id"], created["agreement"]["direction"]) == ("root", "both")
    assert "PEM" not in json.dumps(created)
    assert changed["agreement"] == {"enabled": False}
    assert deleted["agreement"] == {"name": "b"}
    check(made.id)


def test_no_text_of_others_and_no_secret_gets_into_it(database: sa.Engine) -> None:
    make(state={"credentials": {"token": CANARY}, "request_id": "r"}, needs={"name": CANARY}, server_name=CANARY)
    with engine.session() as session:
        messages.record(session, "m", "Offer", messages.SENT, CANARY.encode(), b"")
        values = {"error_message": CANARY, "error_remedy": CANARY, "state": {"vmk": CANARY}}
        migrations.advance(session, "m", "requested", 0, "withdrawing", error_code="x", **values)
    with engine.session() as session:
        assert CANARY not in "".join(session.scalars(sa.select(AuditEvent.line)))


def test_notifications_are_remembered(database: sa.Engine) -> None:
    make()
    with engine.session() as session:
        due = audit.unnotified(session, 10)
        assert [event.number for event in due] == [1]
        audit.mark_notified(session, due)
    with engine.session() as session:
        assert audit.unnotified(session, 10) == []
