# SPDX-License-Identifier: Apache-2.0
"""Databases that are new for every process, in memory."""

from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from sv2m.db import engine, sync
from sv2m.db.models import Base


def start() -> sa.Engine:
    """Make an empty database and use it from now on."""
    conf = cfg.ConfigOpts()
    engine.register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    conf.set_override("connection", "sqlite://", "database")
    engine.start(conf)
    sync.upgrade(engine.current())
    return engine.current()


def rows(made: sa.Engine, table: str) -> int:
    """How many rows a table has; asked of SQLite itself, for each input does."""
    found: int = _cursor(made).execute(f"SELECT COUNT(*) FROM {Base.metadata.tables[table].name}").fetchone()[0]
    return found


@functools.cache
def _cursor(made: sa.Engine) -> Any:
    return made.raw_connection().cursor()


def clear(*tables: str) -> None:
    """Delete every row of these tables."""
    with engine.current().begin() as connection:
        for table in tables:
            connection.execute(Base.metadata.tables[table].delete())
