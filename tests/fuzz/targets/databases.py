# SPDX-License-Identifier: Apache-2.0
"""Databases that are new for every process, in memory where the host has such a place."""

from __future__ import annotations

import tempfile
from pathlib import Path

import sqlalchemy as sa
from oslo_config import cfg

from sv2m.db import engine, sync
from sv2m.db.models import Base

#: Kept until the process ends.
_DIRECTORIES: list[tempfile.TemporaryDirectory[str]] = []


def start() -> sa.Engine:
    """Make an empty database and use it from now on."""
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    directory = tempfile.TemporaryDirectory(prefix="sv2m-fuzz-", dir=base)
    _DIRECTORIES.append(directory)
    conf = cfg.ConfigOpts()
    engine.register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    conf.set_override("connection", f"sqlite:///{directory.name}/sv2m.sqlite", "database")
    engine.start(conf)
    sync.upgrade(engine.current())
    return engine.current()


def rows(table: str) -> int:
    """How many rows a table has."""
    query = sa.select(sa.func.count()).select_from(Base.metadata.tables[table])
    with engine.current().connect() as connection:
        found: int = connection.execute(query).scalar_one()
    return found


def clear(*tables: str) -> None:
    """Delete every row of these tables."""
    with engine.current().begin() as connection:
        for table in tables:
            connection.execute(Base.metadata.tables[table].delete())
