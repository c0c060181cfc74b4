# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sv2m.engine import conductor
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import CloudB
from tests.unit.db.conftest import database
from tests.unit.engine.conftest import no_pauses

__all__ = ["database", "no_pauses"]


@pytest.fixture
def quick(database: sa.Engine) -> sa.Engine:
    """Nobody pulls the plug here: without waiting for the disk a story takes a third of the time."""
    database.dispose()

    @sa.event.listens_for(database, "connect")
    def _(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    return database


@pytest.fixture
def b(quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudB]:
    monkeypatch.setattr(conductor, "PATIENCE", 1.0)
    cloud = CloudB(tmp_path)
    yield cloud
    cloud.stop()


@pytest.fixture
def a(quick: Any) -> Iterator[CloudA]:
    cloud = CloudA()
    yield cloud
    cloud.stop()
