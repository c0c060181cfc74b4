# SPDX-License-Identifier: Apache-2.0
"""Leading a migration into the moment at which a fault is to strike."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus

import pymysql

from lab.guests import TimedOutError, until
from lab.rest import ApiError
from sv2m.protocol import states
from tests.cloud.world import Side, World
from tests.faults import striking
from tests.faults.hold import Hold, arm
from tests.faults.matrix import ENTERED, Case

#: Seconds in which a migration reaches a moment; an encrypted volume takes the longest.
PATIENCE = 150.0


class NeverReachedError(Exception):
    """The migration ended, or stood still, before it came to where it was to be held."""


class Passage:
    """One migration, from the request to the moment of the fault and on."""

    def __init__(self, world: World, case: Case, source: Side, server: str, name: str) -> None:
        self._world = world
        self._case = case
        self.source, self.destination = source, world.other(source)
        self.server = server
        self._name = name
        self.migration = ""
        self._hold = self._at(case.role, case.phase, case.moment, "fault")
        self._before: Hold | None = None
        if case.route == "abort":
            self._before = self._at("source", "transferring", ENTERED, "detour")
        elif case.route in ("lost-at-b", "late-tidying"):
            self._before = self._at("destination", "resuming", ENTERED, "detour")

    @property
    def side(self) -> Side:
        """On which the fault strikes."""
        return self._side(self._case.role)

    def _side(self, role: str) -> Side:
        return self.source if role == "source" else self.destination

    def _at(self, role: str, phase: str, moment: str, lock: str) -> Hold:
        return Hold(self._side(role), role, phase, moment, self._name, lock)

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """Both databases wait at the case's holds while the block lasts, unless they were let go."""
        holds = [hold for hold in (self._before, self._hold) if hold is not None]
        sides = (self.source, self.destination)
        for hold in holds:
            hold.take()
        for side in sides:
            arm(side, holds)
        try:
            yield
        finally:
            for hold in holds:
                hold.let_go()

    def disarm(self) -> None:
        """Nothing is held from now on; needs both databases."""
        for side in (self.source, self.destination):
            until(lambda side=side: _disarmed(side), f"the database of {side.name} takes no more holds", 60)

    def to_the_moment(self) -> None:
        """Start it, and return when it stands where the fault is to strike.

        Raises:
            NeverReachedError: it does not come there
        """
        self.migration = self._world.request(self.source, self.server)
        if self._before is not None:
            self._wait(self._before)
            self._detour(self._before)
        self._wait(self._hold)

    def go_on(self) -> None:
        """Who was held goes on."""
        self._hold.let_go()

    def _detour(self, before: Hold) -> None:
        if self._case.route == "abort":
            path = f"/migrations/{self.migration}/abort"
            asking = threading.Thread(target=self.source.admin.call, args=("POST", "sv2m-api", path), daemon=True)
            asking.start()
            # Its UPDATE stands in line behind the write that is held, and comes before the engine's next one.
            time.sleep(1.0)
            before.let_go()
            asking.join(60)
            return
        if self._case.route == "lost-at-b":
            server = self.destination.migration(self.migration)["server_id"]
            striking.kill_qemu(self.destination, server)
            before.let_go()
            return
        self.destination.kill("glance")
        before.let_go()
        until(self._overtaken, "A's Closure overtakes B's tidying", 90)
        self.destination.start("glance")

    def _overtaken(self) -> bool | None:
        return True if self.destination.migration(self.migration)["phase"] == "closing" else None

    def _wait(self, hold: Hold) -> None:
        def look() -> bool | None:
            if hold.waiting():
                return True
            with contextlib.suppress(ApiError):
                if not self._case.company and self._over():
                    raise NeverReachedError(f"{hold.phase} of {hold.role} was never {hold.moment}: {self._shown()}")
            return None

        try:
            until(look, "held", PATIENCE, 0.05)
        except TimedOutError as error:
            raise NeverReachedError(
                f"{hold.phase} of {hold.role} was never {hold.moment} in {PATIENCE:.0f} s: {self._shown()}"
            ) from error

    def _over(self) -> bool:
        """Both sides are done: what was to be held will not come any more."""
        if self.source.migration(self.migration)["phase"] not in states.FINAL["source"]:
            return False
        try:
            return self.destination.migration(self.migration)["phase"] in states.FINAL["destination"]
        except ApiError as error:
            return error.status == HTTPStatus.NOT_FOUND

    def _shown(self) -> str:
        shown = self.source.migration(self.migration)
        return f"A is in {shown['phase']}, {shown['status']}, {(shown['error'] or {}).get('message')}"


def _disarmed(side: Side) -> bool | None:
    with contextlib.suppress(pymysql.MySQLError, OSError):
        arm(side, [])
        return True
    return None
