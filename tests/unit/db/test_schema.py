# SPDX-License-Identifier: Apache-2.0
"""The revisions make what the models say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from sv2m.db import engine, models, peers, sync


def test_revisions_make_the_models_tables(database: sa.Engine) -> None:
    with database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), models.Base.metadata) == []


def test_upgrade_twice_changes_nothing_and_says_the_version(database: sa.Engine) -> None:
    sync.upgrade(database)
    assert sync.version(database) == sync.head() == "0001"


def test_empty_database_has_no_version() -> None:
    assert sync.version(sa.create_engine("sqlite://")) is None


def test_mysql_keeps_whole_documents_and_microseconds() -> None:
    ddl = str(CreateTable(models.Base.metadata.tables["messages"]).compile(dialect=mysql.dialect()))
    assert "LONGBLOB" in ddl
    assert "DATETIME(6)" in ddl


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
