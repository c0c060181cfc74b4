# SPDX-License-Identifier: Apache-2.0
"""Each program says from time to time that it runs, so that an operator sees what does, and what does not.

Engine and API write it down; the gateway, which has no database, tells an engine. An agent says nothing by itself: a
compute host makes no calls. The engines ask (:mod:`sv2m.engine.roll`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from oslo_db import exception as db_exc

from sv2m.db import engine as database
from sv2m.db import services
from sv2m.rounds import Rounds
from sv2m.version import version

ENGINE, API, GATEWAY, AGENT = "sv2m-engine", "sv2m-api", "sv2m-gateway", "sv2m-agent"

PROGRAMS = (ENGINE, API, GATEWAY, AGENT)


class Reporting(Rounds):
    """Says again and again that a program runs.

    :param report: told of program, host and version.
    """

    def __init__(self, binary: str, host: str, report: Callable[[str, str, str], None] | None = None) -> None:
        super().__init__(f"Reporting that {binary} runs", services.REPORTED_EVERY)
        self._binary = binary
        self._host = host
        self._report = report or written_down

    def look(self) -> None:
        """Say it now."""
        self._report(self._binary, self._host, version())


def written_down(binary: str, host: str, release: str) -> None:
    """Write a report into the database."""
    now = datetime.now(UTC)
    try:
        database.transaction(lambda session: services.note(session, binary, host, release, now))
    except db_exc.DBDuplicateEntry:
        database.transaction(lambda session: services.note(session, binary, host, release, now))
