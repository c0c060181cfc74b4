# SPDX-License-Identifier: Apache-2.0
"""Timestamps come when the authority is there; migrations and evidence do not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa

from lab.cloud import Lab
from lab.ttp.authority import Authority
from lab.ttp.service import CrlHandler
from lab.ttp.timestamping import POLICY
from sv2m.db import audit, engine, messages, migrations, timestamps
from sv2m.db.models import Timestamp
from sv2m.engine.authority import TimestampAuthority
from sv2m.engine.stamping import Stamper
from sv2m.evidence import timestamps as stamps

NOW = datetime.now(UTC)
KINDS = ("Release", "Receipt")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(Lab(tmp_path / "lab"))
    made.create()
    return made


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (CrlHandler,), {"authority": authority}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/tsa"
    server.shutdown()
    thread.join()
    server.server_close()


def stamper(url: str, authority: Authority, policy: str | None = POLICY) -> Stamper:
    return Stamper(TimestampAuthority(url, str(authority.anchor), policy, 30), KINDS, 1)


def keep(*kinds: str, status: str = "running") -> None:
    with engine.session() as session:
        values = {"role": "source", "peer": "b", "project_id": "p", "phase": "released"}
        migrations.create(session, id="m", status=status, **values)
        for kind in kinds:
            messages.record(session, "m", kind, messages.SENT, kind.encode(), b"")


def kept() -> dict[str, Timestamp]:
    with engine.session() as session:
        return {row.covers: row for row in timestamps.list_for(session, "m")}


def test_messages_are_stamped_and_nothing_else(database: sa.Engine, authority: Authority, url: str) -> None:
    keep("Offer", "Release", "Receipt")
    assert stamper(url, authority).look() == 2
    rows = kept()
    assert set(rows) == {"Release", "Receipt"}
    for kind, row in rows.items():
        assert row.response is not None
        assert row.ca_pem == authority.anchor.read_text()
        stamp = stamps.verify(row.response, kind.encode(), [authority.certificate], POLICY)
        assert stamp.at == row.stamped_at
    assert stamper(url, authority).look() == 0


def test_the_log_is_stamped_when_the_migration_has_ended(database: sa.Engine, authority: Authority, url: str) -> None:
    keep("Release", status="completed")
    stamper(url, authority).look()
    row = kept()["audit-2"]
    with engine.session() as session:
        last = audit.list_for(session, "m")[-1]
    assert row.response is not None
    stamps.verify(row.response, f"{last.line}\n".encode(), [authority.certificate])


def test_of_an_offer_that_nobody_stands_by_nothing_is_stamped(
    database: sa.Engine, authority: Authority, url: str
) -> None:
    with engine.session() as session:
        values = {"role": "destination", "peer": "a", "project_id": "p", "phase": "undone", "status": "failed"}
        migrations.create(session, id="m", **values)
        messages.record(session, "m", "Offer", messages.RECEIVED, b"offer", b"")
    assert stamper(url, authority).look() == 0
    with engine.session() as session:
        messages.record(session, "m", "TokenAB", messages.RECEIVED, b"token", b"")
    assert stamper(url, authority).look() == 1


def test_an_authority_that_is_away_is_asked_again_later(database: sa.Engine, authority: Authority, url: str) -> None:
    keep("Release")
    away = stamper("http://127.0.0.1:1/tsa", authority)
    assert away.look(NOW) == 0
    row = kept()["Release"]
    assert row.response is None
    assert "does not answer" in (row.error or "")
    assert stamper(url, authority).look(NOW) == 0, "too early"
    assert stamper(url, authority).look(NOW + timedelta(minutes=1)) == 1
    assert kept()["Release"].error is None


def test_it_is_asked_less_and_less_often(database: sa.Engine, authority: Authority) -> None:
    keep("Release")
    away, now, pauses = stamper("http://127.0.0.1:1/tsa", authority), NOW, []
    for _ in range(12):
        away.look(now)
        due = kept()["Release"].due_at
        assert due is not None
        pauses.append(due - now)
        now = due
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(seconds=10)
    assert pauses[-1] == timedelta(hours=1)


@pytest.mark.parametrize("wrong", ["policy", "roots", "file"])
def test_what_is_not_good_is_not_kept(
    database: sa.Engine, authority: Authority, url: str, tmp_path: Path, wrong: str
) -> None:
    keep("Release")
    other = Authority(Lab(tmp_path / "other"))
    other.create()
    asked = {
        "policy": TimestampAuthority(url, str(authority.anchor), "1.2.3", 30),
        "roots": TimestampAuthority(url, str(other.anchor), None, 30),
        "file": TimestampAuthority(url, str(tmp_path / "nowhere"), None, 30),
    }[wrong]
    assert Stamper(asked, KINDS, 1).look() == 0
    row = kept()["Release"]
    assert row.response is None
    assert row.error


def test_two_engines_ask_once(database: sa.Engine, authority: Authority, url: str) -> None:
    keep("Release")
    with engine.session() as session:
        timestamps.begin(session, "m", "Release", NOW)
        (row,) = timestamps.due(session, NOW, 10)
        assert timestamps.claim(session, row, NOW + timedelta(minutes=1))
        assert not timestamps.claim(session, row, NOW + timedelta(minutes=1))


def test_without_an_authority_nothing_is_asked_nor_noted(database: sa.Engine) -> None:
    keep("Release")
    idle = Stamper(None, KINDS, 1)
    idle.start()
    idle.stop()
    assert kept() == {}
