# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sv2m.engine import asking, conductor, sealing, worker
from tests.unit.engine.arriving import Destination
from tests.unit.engine.leaving import Source
from tests.unit.engine.quickly import database, known_keys, template

__all__ = ["database", "known_keys", "template"]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for between two attempts; how long that is, is nobody's promise."""
    for module in (asking, worker):
        monkeypatch.setattr(module, "_PAUSE", 0.001)
        monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.002)
    monkeypatch.setattr(sealing, "_PAUSE", 0.001)
    # What does not answer here never will, but for the tests of just that.
    for patience in ("_PATIENCE", "_PATIENCE_STOPPED"):
        monkeypatch.setattr(worker, patience, -1.0)


@pytest.fixture
def source(database: Any) -> Iterator[Source]:
    made = Source()
    yield made
    made.stop()


@pytest.fixture
def destination(database: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Destination]:
    # A step that is tried until it succeeds keeps nobody waiting here.
    monkeypatch.setattr(conductor, "PATIENCE", 5.0)
    made = Destination()
    yield made
    made.stop()
