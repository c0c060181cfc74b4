# SPDX-License-Identifier: Apache-2.0
"""One reading of the load for all engines, in the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sv2m.db import engine, leases

_NAME = "load"


class SharedReading:
    """Implements :class:`sv2m.lmm.ports.Reading`.

    :param holder: this engine's name.
    :param lasts: seconds after which another engine reads, if this one does no more.
    """

    def __init__(self, holder: str, lasts: float) -> None:
        self._holder = holder
        self._lasts = timedelta(seconds=lasts)

    def is_ours(self) -> bool:
        """Whether it is this engine that reads; take the others' place if it is free."""
        now = datetime.now(UTC)
        until = now + self._lasts
        return engine.transaction(lambda session: leases.take(session, _NAME, self._holder, now, until))

    def keep(self, reading: str) -> None:
        """Leave for all what was read."""
        engine.transaction(lambda session: leases.leave(session, _NAME, self._holder, reading))

    def kept(self) -> str:
        """What was read last, by whomever; empty before anything was."""
        return engine.transaction(lambda session: leases.left(session, _NAME))
