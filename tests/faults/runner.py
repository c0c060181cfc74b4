# SPDX-License-Identifier: Apache-2.0
"""One case after the other, on two real clouds."""

from __future__ import annotations

import contextlib
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from lab.guests import TimedOutError, until
from lab.rest import ApiError
from tests.cloud.world import FINAL, World
from tests.faults import matrix, striking, verdict, watchdog
from tests.faults.inspection import Inspection
from tests.faults.matrix import Case
from tests.faults.passage import Passage
from tests.faults.table import Outcome
from tests.faults.travellers import Stable, Traveller

SECOND = "second"
#: Seconds that a disk stays full at most: longer than a migration takes.
FULL = 60.0


class Runner:
    """Runs cases; travellers live from one to the next."""

    def __init__(self, world: World, say: Callable[[str], None] = lambda text: None) -> None:
        self._world = world
        self._say = say
        self._striker = striking.Striker(world)
        self._stable = Stable(world)
        self._hung: list[str] = []
        #: What a case that failed has left and nobody could tidy up: of a later one nothing can be said.
        self.spoilt = ""
        self._inspection = Inspection(world, self._stable)
        self._directory = Path(tempfile.mkdtemp(prefix="consoles-", dir=world.lab.lab.directory))

    def run(self, case: Case) -> Outcome:
        """Run one case; whatever goes wrong is in the outcome."""
        began = time.monotonic()
        try:
            ends = self._run(case)
        except Exception as error:  # the matrix goes on, whatever a case brings to light
            said = str(error) or type(error).__name__
            if not isinstance(error, verdict.Wrong):
                self._say(traceback.format_exc())
            self._start_over()
            return Outcome(case.name, case.circumstances, "FAILED", said, "?", time.monotonic() - began)
        where = ", ".join(f"{end.where.session.cloud.name}{' (stopped)' if end.stopped else ''}" for end in ends)
        told = "; ".join([*(end.told for end in ends), *(f"({side}'s nova-compute hung)" for side in self._hung)])
        return Outcome(case.name, case.circumstances, "passed", told, where, time.monotonic() - began)

    def close(self) -> None:
        """Take the travellers away; raises AssertionError when something else is left."""
        assert not self.spoilt, self.spoilt
        striking.mend(self._world.lab)
        self._stable.clear()
        for console in self._directory.iterdir():
            console.unlink()
        self._directory.rmdir()
        assert self._inspection.leftovers() == []

    def _run(self, case: Case) -> list[verdict.End]:
        traveller = self._stable.get(case.disk, case.disk)
        second = self._stable.get(SECOND, "plain") if case.company else None
        travellers = [traveller, *([second] if second else [])]
        for one in travellers:
            one.keep_console(self._directory)
        passage = Passage(self._world, case, traveller.side, traveller.server, traveller.name)
        passages = [passage]
        try:
            with passage.armed():
                if second is not None:
                    passages.append(Passage(self._world, case, second.side, second.server, second.name))
                    passages[1].migration = self._world.request(second.side, second.server)
                passage.to_the_moment()
                self._say(f"{passage.migration}: {case.phase} of {case.role} at {passage.side.name}: {case.fault}")
                if case.delay:
                    passage.go_on()
                    striking.hold_still(case.delay)
                self._strike(case, passage)
                passage.go_on()
                self._let_it_last(case, passages)
        finally:
            striking.mend(self._world.lab)
            passage.disarm()
            # Nova places nothing on a host that has not reported, which would spoil this case's end, or the next case.
            self._hung = watchdog.watch(self._world, self._say)
        ends = [
            self._judge(case, one, going, first=one is passage) for one, going in zip(passages, travellers, strict=True)
        ]
        if left := self._inspection.leftovers():
            raise verdict.Wrong(f"left behind: {'; '.join(left)}")
        return ends

    def _strike(self, case: Case, passage: Passage) -> None:
        server: str | None = passage.server
        if case.role == "destination" and case.fault == "kill-qemu":
            server = passage.destination.migration(passage.migration)["server_id"]
        self._striker.strike(case.fault, passage.side, server)

    def _let_it_last(self, case: Case, passages: list[Passage]) -> None:
        if case.fault == "cut-for-good":
            for passage in passages:
                self._alone(case, passage)
        elif case.fault == matrix.DISK_FULL:
            # Until it has mattered, or has shown that it does not.
            with contextlib.suppress(TimedOutError):
                until(lambda: _ended(passages[0]), "the full disk has mattered", FULL, 0.5)
        else:
            striking.hold_still(self._striker.lasts(case.fault))

    def _alone(self, case: Case, passage: Passage) -> None:
        """A for itself: before the commit it gives up in bounded time; after it, it waits for B's word."""

        waits = "source" not in verdict.allowed(case.role, case.phase, case.fault)
        try:
            status = until(lambda: _ended(passage), "A gives up", 10 if waits else 150, 0.5)
        except TimedOutError:
            shown = passage.source.migration(passage.migration)
            if shown["phase"] not in ("released", "receipted", "closing"):
                raise verdict.Wrong(f"cut off, A neither gives up nor has committed: {shown}") from None
            state = passage.source.session.run(["virsh", "domstate", passage.server], check=False).stdout.strip()
            if state == "running":
                raise verdict.Wrong("A runs the server after its commit, without B's word") from None
            return
        if status != "completed":
            until(lambda: self._back(passage), f"{passage.server} runs at A again, though B is out of reach", 60)

    def _back(self, passage: Passage) -> bool | None:
        shown = passage.source.admin.show(passage.server)
        return True if shown is not None and shown["status"] == "ACTIVE" and not shown["locked"] else None

    def _judge(self, case: Case, passage: Passage, traveller: Traveller, *, first: bool) -> verdict.End:
        end = verdict.ended(self._world, passage)
        # What struck the first migration's QEMU, or its phase, says nothing of the second.
        if first:
            verdict.placed(case, end, passage.source)
            verdict.mattered(case, end)
        lost = first and case.fault == "kill-qemu" and end.where is passage.side
        verdict.whole(end, traveller, memory_lost=lost)
        return end

    def _start_over(self) -> None:
        """After a failed case nothing is believed: new servers for the next."""
        try:
            striking.mend(self._world.lab)
            watchdog.watch(self._world, self._say)
            self._stable.clear()
        except (AssertionError, TimedOutError, ApiError, OSError) as error:
            self.spoilt = f"the clouds are spoilt by an earlier case: {error}"
            self._say(self.spoilt)


def _ended(passage: Passage) -> str | None:
    """A's final status of it."""
    status: str = passage.source.migration(passage.migration)["status"]
    return status if status in FINAL else None
