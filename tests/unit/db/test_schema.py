# SPDX-License-Identifier: Apache-2.0
"""The revisions make what the models say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from sv2m.db import engine, messages, models, peers, sync


def test_revisions_make_the_models_tables(database: sa.Engine) -> None:
    with database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), models.Base.metadata) == []


def test_upgrade_twice_changes_nothing_and_says_the_version(database: sa.Engine) -> None:
    sync.upgrade(database)
    assert sync.version(database) == sync.head() == "0010"


def test_empty_database_has_no_version() -> None:
    assert sync.version(sa.create_engine("sqlite://")) is None


def test_mysql_keeps_whole_documents_and_microseconds() -> None:
    def ddl(table: str) -> str:
        return str(CreateTable(models.Base.metadata.tables[table]).compile(dialect=mysql.dialect()))

    assert "MEDIUMBLOB" in ddl("message_parts")
    assert "DATETIME(6)" in ddl("messages")


def test_documents_of_the_first_schema_are_kept(tmp_path: Path) -> None:
    database = sa.create_engine(f"sqlite:///{tmp_path}/old.sqlite")
    sync.upgrade(database, "0001")
    large = bytes(range(256)) * 5000
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with database.begin() as connection:
        old = sa.MetaData()
        old.reflect(connection)
        connection.execute(
            sa.insert(old.tables["migrations"]).values(
                id="m", role="source", peer="b", server_name="", project_id="p", user_id="", phase="x",
                generation=0, vm_generation=0, status="failed", needs={}, state={}, bytes_total=0,
                bytes_done=0, rate=0, abort_requested=False, created_at=now, updated_at=now,
            )
        )  # fmt: skip
        for kind, document in (("Offer", b"small"), ("Transfer", large)):
            connection.execute(
                sa.insert(old.tables["messages"]).values(
                    migration_id="m", kind=kind, direction="sent", document=document, digest=b"d", at=now
                )
            )
    sync.upgrade(database)
    engine.use(database)
    try:
        with engine.session() as session:
            kept = {one.kind: one.document for one in messages.list_for(session, "m")}
    finally:
        engine.use(None)
    assert kept == {"Offer": b"small", "Transfer": large}


def test_times_come_back_as_the_same_instant(database: sa.Engine) -> None:
    there = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=5)))
    with engine.session() as session:
        peers.create(session, name="b", url="https://b", ca_pem="x", direction="both", now=there)
    with engine.session() as session:
        row = peers.get(session, "b")
    assert row.created_at == there
    assert row.created_at.tzinfo == UTC


def test_time_without_zone_is_refused(database: sa.Engine) -> None:
    with pytest.raises(Exception, match="without a zone"), engine.session() as session:
        peers.create(session, name="b", url="u", ca_pem="x", direction="both", now=datetime(2026, 1, 1))


def test_database_not_started_is_said() -> None:
    engine.use(None)
    with pytest.raises(RuntimeError, match="not started"):
        engine.current()
