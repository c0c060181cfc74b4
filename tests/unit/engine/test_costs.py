# SPDX-License-Identifier: Apache-2.0
"""What a migration costs the database while it only waits."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from sv2m import errors
from sv2m.db import engine as database
from sv2m.engine import work
from tests.unit.engine.leaving import Source


def test_a_step_that_is_repeated_reads_no_document_twice(source: Source) -> None:
    parts: list[str] = []

    @sa.event.listens_for(database.current(), "before_cursor_execute")
    def seen(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        if source.recorder.phases and "message_parts" in statement and statement.startswith("SELECT"):
            parts.append(source.recorder.phases[-1])

    away = errors.PeerUnreachable("away")
    source.peer.instead["Release"] = [away] * 20
    assert source.run().phase == "closed"
    # Nothing was kept meanwhile.
    assert parts.count("released") <= 1


def told(done: int) -> dict[str, int]:
    return {"bytes_done": done, "bytes_total": 100, "bytes_sent": done}


def test_progress_is_written_now_and_then_and_at_the_end(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(work.time, "monotonic", lambda: clock[0])
    one = work.Work(source.services, source.id, source.workers.stopping)  # type: ignore[union-attr]
    one.progress(told(1))
    clock[0] += 1
    one.progress(told(2))
    assert source.row.bytes_done == 1
    clock[0] += 5
    one.progress(told(3))
    assert source.row.bytes_done == 3
    one.progress(told(100))
    assert source.row.bytes_done == 100
