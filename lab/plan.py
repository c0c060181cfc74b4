# SPDX-License-Identifier: Apache-2.0
"""Steps that need each other, run side by side: each in a thread, as soon as all it needs is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from lab.progress import Progress


class StepFailedError(Exception):
    """A step of the plan failed; the message says which and why."""


class Plan:
    """Named steps and what each needs. A step may be added before those it needs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._steps: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {}

    def add(self, name: str, run: Callable[[], None], needs: Iterable[str] = ()) -> None:
        if name in self._steps:
            raise ValueError(f"two steps are called {name}")
        self._steps[name] = (run, tuple(needs))

    def execute(self) -> None:
        """Run all steps.

        Raises:
            StepFailedError: a step failed. No new one was begun then, and those under way were left to
                themselves: they may wait for what will never come, and end with the process or by `down`.
        """
        self._check()
        done: set[str] = set()
        failed: list[tuple[str, Exception]] = []
        changed = threading.Condition()

        def work(name: str) -> None:
            outcome: Exception | None = None
            try:
                self._steps[name][0]()
            except Exception as error:  # a thread's error is carried to the caller below
                outcome = error
            self._progress.ended(name, "done" if outcome is None else "FAILED")
            with changed:
                done.add(name)
                if outcome is not None:
                    failed.append((name, outcome))
                changed.notify()

        waiting = dict(self._steps)
        begun = 0
        with changed:
            while begun + len(waiting) > len(done) and not failed:
                for name in [n for n, (_, needs) in waiting.items() if done.issuperset(needs)]:
                    del waiting[name]
                    begun += 1
                    self._progress.began(name)
                    threading.Thread(target=work, args=(name,), daemon=True, name=name).start()
                changed.wait(1.0)
                self._progress.tick()
        if failed:
            name, error = failed[0]
            raise StepFailedError(f"{name}: {error}") from error

    def _check(self) -> None:
        """Refuse a plan that could never end: a need that no step fulfils, or a circle."""
        left = {name: set(needs) for name, (_, needs) in self._steps.items()}
        for name, needs in left.items():
            if unknown := needs - left.keys():
                raise ValueError(f"{name} needs {sorted(unknown)}, which no step provides")
        while left:
            free = {name for name, needs in left.items() if not needs & left.keys()}
            if not free:
                raise ValueError(f"these steps wait for each other: {sorted(left)}")
            for name in free:
                del left[name]
