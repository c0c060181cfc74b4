# SPDX-License-Identifier: Apache-2.0
"""What is looked at again and again goes on being looked at, whatever one look meets."""

from __future__ import annotations

import queue

import pytest

from sv2m import errors
from sv2m.rounds import Rounds


class Watch(Rounds):
    """Looks, and says so; its first looks fail."""

    def __init__(self, *failures: Exception, interval: float = 0.001) -> None:
        super().__init__("Watching", interval)
        self.looks: queue.Queue[int] = queue.Queue()
        self._failures = list(failures)

    def look(self) -> None:
        self.looks.put(1)
        if self._failures:
            raise self._failures.pop(0)


def test_a_look_that_fails_is_told_and_does_not_end_the_looking(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(errors.ServiceUnavailable("nova is away"), RuntimeError("surprise"))
    watch.start()
    for _ in range(4):
        watch.looks.get(timeout=30)
    watch.stop()
    assert "Watching failed: nova is away" in caplog.text
    assert "surprise" in caplog.text


def test_begun_twice_it_looks_once_at_a_time_and_after_its_end_it_may_begin_again() -> None:
    watch = Watch(interval=3600)
    watch.start()
    watch.start()
    watch.looks.get(timeout=30)
    watch.stop()
    assert watch.looks.empty()
    watch.start()
    watch.looks.get(timeout=30)
    watch.stop()
