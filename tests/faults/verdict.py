# SPDX-License-Identifier: Apache-2.0
"""After a case: what both clouds say of the migration, where the server is, and whether it is whole."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import Any

from lab.guests import Count, TimedOutError, until
from lab.rest import ApiError
from sv2m.errors import MemoryLost, SV2MError
from sv2m.protocol import states
from tests.cloud.world import FINAL, Side, World
from tests.faults.matrix import DISK_FULL, GIVING_UP, LEAVING, Case, reachable
from tests.faults.passage import Passage
from tests.faults.travellers import Traveller, counts, earlier

#: Seconds from the last repair until both sides are done without anybody's help.
PATIENCE = 240.0
#: Final phases of A, with where the server is then.
AT_B = ("closed",)
#: Seconds in which A notices that the server was stopped: Nova's, and until A looks again.
NOTICED = 90.0
#: Seconds in which a list and a single migration say the same, while the last word is still under way.
ALIKE = 10.0
_DONE = {"source": ("closed", "withdrawn", "returned", "refused"), "destination": ("closed", "undone", "refused")}


class Wrong(AssertionError):
    """Something is not as it must be; the message says what."""


@dataclass
class End:
    """How a migration ended."""

    at_a: dict[str, Any]
    at_b: dict[str, Any] | None
    where: Side
    server: str
    stopped: bool = False

    @property
    def told(self) -> str:
        """What A's operator reads."""
        error = self.at_a["error"]
        return self.at_a["status"] + (f": {error['code']}" if error else "")


def allowed(role: str, phase: str, fault: str) -> set[str]:
    """Where the server may be at the end: ``source``, ``destination``; read off the transition tables."""
    finals = reachable(states.TABLES[role], phase, frozenset()) & set(states.FINAL[role])
    places = {"destination" if one in ("closed", "settled") else "source" for one in finals}
    if (role, phase) in (("source", "released"), ("destination", "resuming")) and not lost_by(role, phase, fault):
        # A has committed, and B still holds the VM: nothing takes it back.
        places.discard("source")
    return places


def lost_by(role: str, phase: str, fault: str) -> bool:
    """Whether this fault destroys the copy that B holds between the commit and its resumption."""
    return fault == "kill-qemu" and (role, phase) == ("destination", "resuming")


def ended(world: World, passage: Passage) -> End:
    """Wait until both sides are done, and check that they tell the same.

    Raises:
        Wrong: they are not done in time, or contradict each other, do not say why, or did not foresee why
    """
    source, destination, migration = passage.source, passage.destination, passage.migration

    def look() -> tuple[dict[str, Any], dict[str, Any] | None] | None:
        at_a, at_b = _shown(source, migration), _shown(destination, migration)
        if at_a is None or at_a["phase"] not in _DONE["source"]:
            return None
        return (at_a, at_b) if at_b is None or at_b["phase"] in _DONE["destination"] else None

    try:
        at_a, at_b = until(look, "both sides are done", PATIENCE, 0.5)
    except TimedOutError:
        raise Wrong(
            f"not done in {PATIENCE:.0f} s: {_short(source, migration)}; {_short(destination, migration)}"
        ) from None
    foreseen(at_a, at_b)
    for side in (source, destination):
        listed(side, migration)
    if at_a["status"] == "completed":
        if at_b is None or at_b["status"] != "completed" or at_b["error"] is not None:
            raise Wrong(f"A says completed, B says {at_b}")
        return End(at_a, at_b, destination, at_b["server_id"])
    error = at_a["error"]
    if at_a["status"] not in FINAL or not error or not error["message"] or not error["remedy"]:
        raise Wrong(f"A does not say why: {at_a}")
    if at_b is not None and (at_b["status"] not in ("failed", "aborted", "refused") or not at_b["error"]):
        raise Wrong(f"A says {at_a['status']}, B says {at_b}")
    return End(at_a, at_b, source, passage.server)


def foreseen(*shown: dict[str, Any] | None) -> None:
    """Check that what went wrong is something that SV2M has a word for.

    Raises:
        Wrong: it is an error that nobody foresaw
    """
    for one in shown:
        error = (one and one["error"]) or {}
        # In the message, too: there a loss of memory keeps what was said before.
        if SV2MError.fault in error.values() or SV2MError.code in f"{error.get('code')} {error.get('message')}":
            raise Wrong(f"nobody foresaw this: {one}")


def listed(side: Side, migration: str) -> None:
    """Check that the list which operators read says of a migration what is said of it alone.

    Raises:
        Wrong: it does not, or leaves it out
    """
    seen: list[Any] = []

    def look() -> bool | None:
        alone = _shown(side, migration)
        inside = [one for one in side.migrations() if one["id"] == migration]
        seen[:] = [alone, inside]
        return True if inside == ([] if alone is None else [alone]) else None

    try:
        until(look, "the list says the same", ALIKE, 0.5)
    except TimedOutError:
        raise Wrong(f"{side.name} says {seen[0]}, its list {seen[1]}") from None


def loss_told(end: End) -> None:
    """Wait until A's operator reads that the server's memory is lost, what to do, and what he read before.

    Raises:
        Wrong: he does not
    """
    migration, before = end.at_a["id"], end.at_a["error"]

    def look() -> dict[str, Any] | None:
        shown = end.where.migration(migration)
        return shown if shown["error"]["code"] == MemoryLost.code else None

    try:
        end.at_a = until(look, "A's operator is told of the loss", NOTICED, 0.5)
    except TimedOutError:
        raise Wrong(f"its memory is lost, and A's operator reads {before}") from None
    error = end.at_a["error"]
    if f"server start {end.server}" not in error["remedy"]:
        raise Wrong(f"A does not say how to start it: {error}")
    if before["code"] != MemoryLost.code and before["message"] not in error["message"]:
        raise Wrong(f"A does not say any more: {before}, but: {error}")
    listed(end.where, migration)


def _shown(side: Side, migration: str) -> dict[str, Any] | None:
    try:
        return side.migration(migration)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def _short(side: Side, migration: str) -> str:
    with contextlib.suppress(ApiError, OSError):
        shown = _shown(side, migration)
        if shown is None:
            return f"{side.name} knows nothing of it"
        return f"{side.name}: {shown['phase']}, {shown['status']}, {(shown['error'] or {}).get('message')}"
    return f"{side.name} does not answer"


def whole(end: End, traveller: Traveller, memory_lost: bool) -> None:
    """Check the server: it runs, unlocked, its counter and disk right; and let the traveller be where it is.

    Raises:
        Wrong: it is not so
    """
    before = traveller.counts_before()
    # Nova writes a new console file where the server lands; at A the old one goes on.
    traveller.side, traveller.server = end.where, end.server
    shown = _settled(end, memory_lost)
    if shown["locked"]:
        raise Wrong(f"server {end.server} is locked at {end.where.name}")
    if memory_lost and shown["status"] == "SHUTOFF":
        end.stopped = True
        if end.at_a["status"] != "completed":
            # Before it is started again: then nobody finds it stopped.
            loss_told(end)
        _disk_right(end, traveller, before[-1])
        return
    now = _counting(end, traveller)
    if now.disk != now.count:
        raise Wrong(f"its disk says {now.disk}, its memory {now.count}")
    gapless(before, counts(end.where.session.console(end.server), traveller.boot))


def _settled(end: End, memory_lost: bool) -> dict[str, Any]:
    wanted = ("ACTIVE", "SHUTOFF") if memory_lost else ("ACTIVE",)

    def look() -> dict[str, Any] | None:
        shown = end.where.admin.show(end.server)
        if shown is None or shown["OS-EXT-STS:task_state"] is not None or shown["status"] not in wanted:
            return None
        running = end.where.session.run(["virsh", "domstate", end.server], check=False).stdout.strip() == "running"
        return shown if running == (shown["status"] == "ACTIVE") else None

    try:
        return until(look, "it runs", 60, 0.5)
    except TimedOutError:
        shown = end.where.admin.show(end.server)
        state = end.where.session.run(["virsh", "domstate", "--reason", end.server], check=False)
        raise Wrong(
            f"server {end.server} at {end.where.name} is {shown and shown['status']}, "
            f"task {shown and shown['OS-EXT-STS:task_state']}, domain {state.stdout.strip() or state.stderr.strip()}"
        ) from None


def _counting(end: End, traveller: Traveller) -> Count:
    """It counts on, in the same boot."""
    guests = end.where.manager
    start = guests.counted(end.server)

    def look() -> Count | None:
        now = guests.counted(end.server)
        if now is not None and now.boot != traveller.boot:
            raise Wrong(f"it booted again: {now.boot} instead of {traveller.boot}")
        return now if now is not None and now.count > (start.count if start else 0) + 3 else None

    try:
        return until(look, "it counts", 60)
    except TimedOutError:
        raise Wrong(f"server {end.server} does not count at {end.where.name}") from None


def gapless(before: list[Count], after: list[Count]) -> None:
    """Nothing counted twice, nothing left out; at the seam one line may have been cut in two."""
    seen = [one.count for one in before]
    new = (
        [one.count for one in after if one.count > seen[-1]]
        if after and after[0].count <= seen[0]
        else [one.count for one in after]
    )
    for numbers in (seen, new):
        for one, next_one in itertools.pairwise(numbers):
            if next_one != one + 1:
                raise Wrong(f"it counted {one} and then {next_one}")
    if new and not seen[-1] < new[0] <= seen[-1] + 2:
        raise Wrong(f"it stopped at {seen[-1]} and went on at {new[0]}")


def _disk_right(end: End, traveller: Traveller, last: Count) -> None:
    """Its memory is lost by nature: started again, it finds on its disk what it wrote last."""
    guests = end.where.manager
    guests.act(end.server, "os-start")
    guests.wait_for(end.server, "ACTIVE")
    found = until(lambda: earlier(end.where.session.console(end.server)), "it boots from its disk")
    if found[0] != traveller.boot or found[1] < last.count:
        raise Wrong(f"its disk holds {found}, it had printed {last}")
    counted = until(lambda: guests.counted(end.server), "it counts again")
    traveller.boot = counted.boot


def placed(case: Case, end: End, source: Side) -> None:
    """Check that it is where the phase allows it to be.

    Raises:
        Wrong: a copy ran on where the other side's word stood against it
    """
    place = "source" if end.where is source else "destination"
    if place not in allowed(case.role, case.phase, case.fault):
        raise Wrong(f"after {case.phase} of {case.role} it must not be at the {place}")


def mattered(case: Case, end: End) -> None:
    """Check that a disk which was full when B still had to write to it made the migration fail, and not stop half-way.

    Raises:
        Wrong: a copy that cannot be whole was taken for one
    """
    table = states.TABLES["destination"]
    ahead = case.role == "destination" and "receiving" in reachable(table, case.phase, GIVING_UP)
    if case.fault == DISK_FULL and ahead and case.moment != LEAVING and end.at_a["status"] == "completed":
        raise Wrong("it completed, though B's disk was full before the data came")
