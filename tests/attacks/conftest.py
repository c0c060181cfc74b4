# SPDX-License-Identifier: Apache-2.0
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
from sv2m.engine import conductor
from sv2m.protocol import encryption
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import CloudB
from tests.unit.engine.conftest import no_pauses

__all__ = ["no_pauses"]

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
    engine.use(create_engine(f"sqlite:///{path}?timeout=60", sqlite_fk=True, **quick))


@pytest.fixture(autouse=True)
def known_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every story has the same ekB, and OpenSSL needs a tenth of a second to find both of its factors prime."""
    monkeypatch.setattr(encryption, "load_pem_private_key", LOAD)


@pytest.fixture
def b(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudB]:
    monkeypatch.setattr(conductor, "PATIENCE", 1.0)
    cloud = CloudB(tmp_path)
    yield cloud
    cloud.stop()


@pytest.fixture
def a(database: Any) -> Iterator[CloudA]:
    cloud = CloudA()
    yield cloud
    cloud.stop()
