# SPDX-License-Identifier: Apache-2.0
"""The audit log leaves the cloud's database as CADF notifications."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from pycadf import cadftaxonomy

from sv2m.db import engine, messages, migrations
from sv2m.engine.notifying import AuditPublisher

ID = "6f1c1a9e-3c6e-4d52-9d5f-0a4a2e6f7b11"


class Broker:
    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.away = False

    def info(self, ctxt: dict[str, Any], event_type: str, payload: dict[str, Any]) -> None:
        if self.away:
            raise ConnectionError
        self.heard.append((event_type, payload))


def happen() -> None:
    with engine.session() as session:
        values = {"role": "source", "peer": "b", "project_id": "p", "phase": "requested", "user_id": "mona"}
        migrations.create(session, id=ID, **values)
        messages.record(session, ID, "Offer", messages.SENT, b"offer", b"")
        migrations.advance(session, ID, "requested", 0, "withdrawn", status="failed", error_code="no-room")


def test_each_event_is_a_cadf_event(database: sa.Engine) -> None:
    happen()
    broker = Broker()
    assert AuditPublisher(broker, "cloud-a.sv2m", 1).look() == 3
    assert [kind.rsplit(".", 1)[-1] for kind, _ in broker.heard] == ["created", "document", "phase"]
    created, sent, failed = (payload for _, payload in broker.heard)
    assert created["typeURI"].endswith("/cloud/audit/1.0/event")
    assert (created["action"], created["outcome"], created["initiator"]["name"]) == ("create", "success", "mona")
    assert sent["action"] == "send"
    assert (failed["outcome"], failed["target"]["id"]) == ("failure", ID)
    for payload in (created, sent, failed):
        assert cadftaxonomy.is_valid_action(payload["action"])
        assert payload["observer"]["name"] == "cloud-a.sv2m"
        (attached,) = payload["attachments"]
        assert len(attached["content"]["digest"]) == 96


def test_each_event_is_emitted_once(database: sa.Engine) -> None:
    happen()
    broker = Broker()
    publisher = AuditPublisher(broker, "cloud-a.sv2m", 1)
    publisher.look()
    assert publisher.look() == 0
    assert len(broker.heard) == 3


def test_what_a_dead_broker_did_not_take_comes_later_under_the_same_id(database: sa.Engine) -> None:
    happen()
    broker = Broker()
    AuditPublisher(broker, "cloud-a.sv2m", 1).look()
    with engine.session() as session:
        session.execute(sa.text("update audit_events set notified = 0"))
    again = Broker()
    AuditPublisher(again, "cloud-a.sv2m", 1).look()
    assert [payload["id"] for _, payload in again.heard] == [payload["id"] for _, payload in broker.heard]


def test_of_two_engines_one_emits_and_the_other_takes_over(database: sa.Engine) -> None:
    happen()
    brokers = Broker(), Broker()
    one, other = (AuditPublisher(broker, "cloud-a.sv2m", 1, name) for broker, name in zip(brokers, "ab", strict=True))
    assert one.look() == 3
    with engine.session() as session:
        session.execute(sa.text("update audit_events set notified = 0"))
    assert (other.look(), brokers[1].heard) == (0, [])
    with engine.session() as session:
        session.execute(sa.text("update leases set until = '2026-01-01 00:00:00.000000'"))
    assert other.look() == 3
    assert one.look() == 0


def test_an_event_that_cannot_be_read_keeps_back_none_that_came_after_it(
    database: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    happen()
    with engine.session() as session:
        session.execute(sa.text("update audit_events set line = 'rubbish' where number = 1"))
    broker = Broker()
    publisher = AuditPublisher(broker, "cloud-a.sv2m", 1)
    publisher.look()
    assert [kind.rsplit(".", 1)[-1] for kind, _ in broker.heard] == ["document", "phase"]
    assert publisher.look() == 0
    assert f"Event 1 of {ID}" in caplog.text
