# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sv2m.engine import conductor
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import CloudB
from tests.unit.engine.conftest import no_pauses
from tests.unit.engine.quickly import database, known_keys, template

__all__ = ["database", "known_keys", "no_pauses", "template"]


@pytest.fixture
def b(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudB]:
    monkeypatch.setattr(conductor, "PATIENCE", 5.0)
    cloud = CloudB(tmp_path)
    yield cloud
    cloud.stop()


@pytest.fixture
def a(database: Any) -> Iterator[CloudA]:
    cloud = CloudA()
    yield cloud
    cloud.stop()
