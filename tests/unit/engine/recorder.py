# SPDX-License-Identifier: Apache-2.0
"""Every call that an engine makes to its surroundings, in order; each may be made to fail, or to kill the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """As kill -9: nothing in the engine catches it, and nothing is written down any more."""


class Recorder:
    """Hands calls on to fakes.

    ``calls`` are the names so far ("km.wrap"). ``failing`` maps a name to the error that its calls raise, ``once`` a
    phase and a name to what is raised one by one by the next calls in that phase; ``hooks`` a name to what is done,
    once, just before it.
    """

    def __init__(self, phase: Callable[[], str]) -> None:
        self._phase = phase
        self.calls: list[str] = []
        #: The phase that the row was in at each of the calls.
        self.phases: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.once: dict[tuple[str, str], list[Exception]] = {}
        #: What ``once`` raises comes after the call's effect: the answer was lost.
        self.once_after_effect = False
        self.hooks: dict[str, Callable[[], None]] = {}
        #: Kill at the n-th call, or at a phase's first call of a name, before or after its effect.
        self.kill_at: int | None = None
        self.kill_on: tuple[str, str] | None = None
        self.kill_after_effect = False

    def around(self, name: str, service: object) -> Any:
        return _Recorded(self, name, service)

    def call(self, name: str, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(name)
        self.phases.append(self._phase())
        due = (self.kill_at is not None and len(self.calls) == self.kill_at) or (self.phases[-1], name) == self.kill_on
        if due and not self.kill_after_effect:
            raise Killed(name)
        if hook := self.hooks.pop(name, None):
            hook()
        if name in self.failing:
            raise self.failing[name]
        broken = self.once.get((self.phases[-1], name))
        if broken and not self.once_after_effect:
            raise broken.pop(0)
        result = method(*args, **kwargs)
        if broken:
            raise broken.pop(0)
        if due:
            raise Killed(name)
        return result


class _Recorded:
    def __init__(self, recorder: Recorder, name: str, service: object) -> None:
        self._recorder, self._name, self._service = recorder, name, service

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._recorder.call(f"{self._name}.{method}", getattr(self._service, method), *args, **kwargs)

        return call
