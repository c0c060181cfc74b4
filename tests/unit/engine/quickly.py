# SPDX-License-Identifier: Apache-2.0
"""What lets a story of two clouds take a fraction of a second: a copied database, keys that are believed at once."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_db.sqlalchemy.engines import create_engine

from sv2m.db import engine, sync
from sv2m.protocol import encryption

LOAD = functools.cache(encryption.load_pem_private_key)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its schema and nothing else."""
    path = tmp_path_factory.mktemp("template") / "sv2m.sqlite"
    _start(path)
    sync.upgrade(engine.current())
    engine.current().dispose()
    engine.use(None)
    return path


@pytest.fixture
def database(template: Path, tmp_path: Path) -> Iterator[sa.Engine]:
    """Nobody pulls the plug here: without waiting for the disk a story takes a third of the time."""
    shutil.copy(template, tmp_path / "sv2m.sqlite")
    _start(tmp_path / "sv2m.sqlite")

    @sa.event.listens_for(engine.current(), "connect")
    def _(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=MEMORY")

    yield engine.current()
    engine.current().dispose()
    engine.use(None)


def _start(path: Path) -> None:
    # As sv2m.db.engine.start() does, but for two habits of oslo.db: waiting for the disk, giving way to greenlets.
    quick = {"sqlite_synchronous": False, "thread_checkin": False}
    made = create_engine(f"sqlite:///{path}?timeout=60", sqlite_fk=True, **quick)
    engine._lock_first(made)
    engine.use(made)


@pytest.fixture(autouse=True)
def known_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every story has the same ekB, and OpenSSL needs a tenth of a second to find both of its factors prime."""
    monkeypatch.setattr(encryption, "load_pem_private_key", LOAD)
