# SPDX-License-Identifier: Apache-2.0
"""Which cases there are: the faults times the phases of the transition tables, and nothing written down twice.

A phase that is added to the tables brings its cases by itself if it lies on the ordinary way from the first phase to a
final one. A phase off that way needs a line in DETOURS that says how a migration is led into it; without one the draw
fails, so that no phase is left out in silence.
"""

from __future__ import annotations

import fnmatch
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sv2m.engine import flow
from sv2m.protocol import states

Tables = Mapping[str, states.Table]
Asked = Callable[[str, str], str]

#: Programs that are killed with SIGKILL, on the side whose phase it is.
KILLED = ("sv2m-api", "sv2m-gateway", "sv2m-engine", "sv2m-agent", "libvirtd", "qemu", "rabbitmq", "mariadb")
#: Faults of the network between the clouds, and of both engines at once.
BETWEEN = ("cut-5s", "cut-for-good", "kill-both-engines")
#: Killed once more, in phases with a step, at a chance moment amid its calls, where no write can be held.
AMID = ("sv2m-engine", "sv2m-agent", "libvirtd")
#: The services that the modules of a step ask, by the word with which the flow's table names who is asked. MAM's is the
#: signing key; the runner lets it forget that at once, so that each signature asks.
SERVICES = {
    "KM": "barbican",
    "MAM": "barbican",
    "Nova": "nova-api",
    "LMM": "placement",
    "Cinder": "cinder-api",
    "Neutron": "neutron",
    "Glance": "glance",
}
#: What a service does instead of answering.
OUT_OF_ORDER = ("500", "silent")
DISK_FULL = "disk-full"
#: The broker dies and is back before those have heard of it who carry out what Nova and Cinder were asked for: each has
#: an API that answers at once, and sends what is to be done in a message that nobody acknowledges. By the fault's name,
#: the word with which the flow's table names who is asked.
REQUESTS_LOST = {"nova-requests-lost": "Nova", "cinder-requests-lost": "Cinder"}

#: Triggers with which a side gives up, or hears that the other did: they lead off the ordinary way.
GIVING_UP = frozenset(
    {
        *("Failed", "TokenBA2.refused", "RoomRefused", "CannotResume", "Receipt.refused"),
        *("Closure.withdrawn", "Closure.taken-back"),
        *(event for events in states.PERSONS.values() for event in events),
    }
)
#: How a migration comes into a phase off the ordinary way, or into one that is passed by chance only.
DETOURS: Mapping[tuple[str, str], str] = {
    ("source", "withdrawing"): "abort",
    ("source", "telling"): "abort",
    ("destination", "undoing"): "abort",
    ("source", "returning"): "lost-at-b",
    # A's Closure overtakes B's tidying only if that is held up.
    ("destination", "closing"): "late-tidying",
}
#: Phases whose step writes down what it did before it has done all: (role, phase).
NOTING = frozenset(
    {("source", "accepted"), ("source", "transferring"), ("destination", "authenticated"), ("destination", "landing")}
)
#: Seconds that a step takes, where these are more than a few.
_LASTS = {("destination", "landing"): 10.0}
#: The row of a migration does not exist yet: it can only be held where it is about to be made.
UNWRITTEN = frozenset({("destination", "none")})

ENTERED, DURING, LEAVING, WITHIN = "entered", "during", "leaving", "amid"


#: Behind the name of a case that is run once more while a second migration runs.
ACCOMPANIED = "+"


class UnreachablePhaseError(Exception):
    """Nothing says how a migration is led into this phase; DETOURS needs a line."""


@dataclass(frozen=True)
class Case:
    """One line of the matrix.

    ``moment`` is where in the phase the system is held while the fault strikes: ``entered`` before the step has done
    anything, ``during`` when it has written down a part, ``leaving`` when all of it is done and nothing of that is
    written; with ``amid`` it goes on from ``entered``, and the fault strikes ``delay`` seconds later. ``disk`` is the
    server's: ``plain`` (local) or ``encrypted`` (a volume). ``company`` is true where a second migration runs at the
    same time.
    """

    fault: str
    role: str
    phase: str
    moment: str
    disk: str
    company: bool
    route: str
    #: The same case once more, with a second migration where it has none by itself.
    again: bool = False

    @property
    def name(self) -> str:
        """Unique, without blanks: for selecting, and for the table."""
        return self._what + (ACCOMPANIED if self.again else "")

    @property
    def _what(self) -> str:
        return f"{self.fault}@{self.role}:{self.phase}"

    @property
    def delay(self) -> float:
        """Seconds from a step's beginning to the fault, the same in each run."""
        if self.moment != WITHIN:
            return 0.0
        return zlib.crc32(f"delay of {self._what}".encode()) % 16 / 16 * _LASTS.get((self.role, self.phase), 3.0)

    @property
    def circumstances(self) -> str:
        return ", ".join([self.moment, self.disk, *(["two migrations"] if self.company else [])])


def draw(tables: Tables = states.TABLES, final: Mapping[str, Sequence[str]] = states.FINAL) -> list[Case]:
    """All cases, in an order in which every beginning of the list is a mixture.

    Raises:
        UnreachablePhaseError: a phase of the tables cannot be reached by what this file knows
    """
    cases = [
        _case(fault, role, phase, _route(tables, role, phase))
        for role, table in tables.items()
        for phase in table
        if phase not in final[role] and phase not in decided(table, role)
        for fault in _faults(tables, role, phase)
    ]
    # A case keeps its place and its circumstances whatever else is drawn, so that tables of two runs compare.
    return sorted(cases, key=lambda case: zlib.crc32(case.name.encode()))


def accompanied(cases: Sequence[Case]) -> list[Case]:
    """The same again while two migrations run: those cases in which only one does."""
    return [replace(case, company=True, again=True) for case in cases if not case.company]


def select(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """Those whose name fits one of the shell patterns, in the order of the patterns; all if there is none."""
    if not patterns:
        return list(cases)
    found = [case for pattern in patterns for case in cases if fnmatch.fnmatch(case.name, pattern)]
    return list(dict.fromkeys(found))


def _case(fault: str, role: str, phase: str, route: str) -> Case:
    chance = zlib.crc32(f"{fault}@{role}:{phase}".encode())
    # Only volumes are on a disk that may be filled, and Cinder is asked for nothing else.
    disk = "encrypted" if chance // 8 % 8 == 0 or fault == DISK_FULL or fault.startswith("cinder-") else "plain"
    moments = _moments(fault, role, phase)
    if (role, phase, disk) == ("source", "requested", "encrypted"):
        moments = (LEAVING,)  # while a volume's key is copied it is the API that writes, and the request would be held
    return Case(fault, role, phase, moments[chance % len(moments)], disk, chance // 64 % 6 == 0, route)


def _moments(fault: str, role: str, phase: str) -> tuple[str, ...]:
    if fault.endswith(f"-{WITHIN}"):
        return (WITHIN,)
    if (role, phase) in UNWRITTEN:
        return (LEAVING,)
    if fault == "kill-qemu" and (role, phase) == ("destination", "verifying"):
        return (LEAVING,)  # before that there is none
    if fault == "kill-qemu" and (role, phase) == ("source", "receipted"):
        return (ENTERED,)  # after that there is none any more
    if fault in REQUESTS_LOST:
        return (ENTERED,)  # when a step is done, nothing of it is on its way any more
    if (role, phase) in NOTING:
        return (ENTERED, DURING, LEAVING)
    return (ENTERED, LEAVING)


def _faults(tables: Tables, role: str, phase: str, asks: Asked | None = None) -> Iterator[str]:
    for program in KILLED:
        if program != "qemu" or _has_qemu(tables, role, phase):
            yield f"kill-{program}"
    yield from BETWEEN
    words = (asks or _asks)(role, phase)
    if words:
        yield from (f"kill-{program}-{WITHIN}" for program in AMID)
    if role == "destination":
        yield DISK_FULL
    yield from (fault for fault, word in REQUESTS_LOST.items() if word in words)
    for service in dict.fromkeys(service for word, service in SERVICES.items() if word in words):
        yield from (f"{service}-{how}" for how in OUT_OF_ORDER)


def _asks(role: str, phase: str) -> tuple[str, ...]:
    step = flow.step(role, phase)
    return () if step is None else tuple(word.strip() for word in step.asks.split(","))


def decided(table: states.Table, role: str) -> set[str]:
    """Phases into which a migration comes by a person's decision alone: nothing here makes one."""
    first = states.FIRST[role]
    return reachable(table, first, frozenset()) - reachable(table, first, frozenset(states.PERSONS[role]))


def _route(tables: Tables, role: str, phase: str) -> str:
    if (role, phase) in DETOURS:
        return DETOURS[role, phase]
    if phase in reachable(tables[role], states.FIRST[role], GIVING_UP):
        return "ordinary"
    raise UnreachablePhaseError(f"{role}: {phase}: no rule says how a migration is led into it; see DETOURS")


def _has_qemu(tables: Tables, role: str, phase: str) -> bool:
    """Whether there is a QEMU of the server on this side: at A until it is removed, at B since it was restored."""
    table = tables[role]
    if role == "source":
        return not any(phase in reachable(table, target, frozenset()) for target in _targets(table, "Removed"))
    if any(trigger == "Restored" for trigger in table[phase]):
        return True
    return any(phase in reachable(table, target, GIVING_UP) for target in _targets(table, "Restored"))


def _targets(table: states.Table, trigger: str) -> list[str]:
    return [row[trigger] for row in table.values() if trigger in row]


def reachable(table: states.Table, start: str, without: frozenset[str]) -> set[str]:
    """Every phase that can follow, the start among them, on ways that none of these triggers is part of."""
    found, new = {start}, [start]
    while new:
        row = table[new.pop()]
        for trigger, target in row.items():
            if trigger not in without and target not in found:
                found.add(target)
                new.append(target)
    return found


#: A few minutes' worth, chosen for variety: each side, each kind of fault, before and after the commit.
FAST = (
    "kill-sv2m-agent@source:transferring",
    "kill-sv2m-engine@destination:verifying",
    "kill-mariadb@destination:landing",
    "kill-rabbitmq@source:released",
    "kill-qemu@destination:resuming",
    "cut-5s@source:transferred",
    "barbican-500@source:accepted",
    "kill-libvirtd@destination:prepared",
)
