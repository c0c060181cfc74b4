# SPDX-License-Identifier: Apache-2.0
"""A database of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from sv2m.db import engine, sync


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sa.Engine]:
    """An SQLite file with the schema that the alembic revisions make."""
    conf = cfg.ConfigOpts()
    engine.register_opts(conf)
    conf([])
    conf.set_override("connection", f"sqlite:///{tmp_path}/sv2m.sqlite?timeout=60", "database")
    engine.start(conf)
    sync.upgrade(engine.current())
    yield engine.current()
    engine.current().dispose()
    engine.use(None)
