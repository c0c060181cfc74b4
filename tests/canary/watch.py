# SPDX-License-Identifier: Apache-2.0
"""Looks again and again at what may be there for a moment only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from tests.canary.search import Place


class Watch:
    """Between ``with`` and its end ``look`` is called; everything that it saw is in ``seen``.

    :param pause: seconds between two looks.
    """

    def __init__(self, look: Callable[[], Iterable[Place]], pause: float = 0.05) -> None:
        self._look = look
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self.seen: set[Place] = set()

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            self.seen.update(self._look())
