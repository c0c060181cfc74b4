# SPDX-License-Identifier: Apache-2.0
"""Runs Maude over rules.maude and a version's tables: one search, or the whole graph of states."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from formal.maude.program import MaudeError, maude

RULES = Path(__file__).with_name("rules.maude")

#: Each is a predicate of rules.maude that no reachable state may have.
FORBIDDEN = ("two-run", "forked", "two-outcomes", "deleted-unowned")


@dataclass(frozen=True)
class Found:
    """What a search for a forbidden state found.

    :param trace: labels of the rules that lead there, None where no such state is reachable.
    :param states: how many states were looked at.
    """

    trace: tuple[str, ...] | None
    states: int
    seconds: float


@dataclass(frozen=True)
class Recovery:
    """Whether the storm's end is always survived.

    :param calm: reachable states after the last fault.
    :param stuck: those of them from which no good end can be reached any more.
    """

    states: int
    calm: int
    stuck: int
    seconds: float


def search(tables: str, start: str, forbidden: tuple[str, ...] = FORBIDDEN) -> Found:
    """Search all that is reachable from ``start`` for a state with one of these predicates.

    :param tables: the module TABLES, from :func:`formal.commit.tables.module`.
    :raises MaudeError: see there.
    """
    begun = time.monotonic()
    wanted = " or ".join(f"{name}(Z)" for name in forbidden)
    with maude(tables + RULES.read_text()) as (say, hear):
        say.write(f"search [1] {start} =>* Z such that {wanted} .\n")
        say.flush()
        found, states = None, 0
        for line in hear:
            if match := re.match(r"Solution 1 \(state (\d+)\)", line):
                found = int(match[1])
            if match := re.match(r"states: (\d+)", line):
                states = int(match[1])
                break
        if not states:
            raise MaudeError("Maude did not understand the model")
        trace = None
        if found is not None:
            say.write(f"show path labels {found} .\nquit\n")
            say.flush()
            trace = tuple(line.strip() for line in hear if re.fullmatch(r"[a-z-]+\n", line))
        return Found(trace, states, time.monotonic() - begun)


def recovery(tables: str, start: str) -> Recovery:
    """Whether a good end can be reached from every state in which the faults have ended.

    :param tables: of a version that allows the fault ``calm``.
    :raises MaudeError: see there.
    """
    begun = time.monotonic()
    good: set[int] = set()
    calm: set[int] = set()
    before: dict[int, list[int]] = {}
    count, current = 0, -1
    with maude(tables + RULES.read_text()) as (say, hear):
        say.write(f"search {start} =>* Z such that calm(Z) and well(Z) .\nshow search graph .\nquit\n")
        say.flush()
        for line in hear:
            if match := re.match(r"Solution \d+ \(state (\d+)\)", line):
                good.add(int(match[1]))
            elif match := re.match(r"state (\d+),", line):
                count, current = count + 1, int(match[1])
                if "weather('calm)" in line:
                    calm.add(current)
            elif match := re.match(r"arc \d+ ===> state (\d+)", line):
                before.setdefault(int(match[1]), []).append(current)
    if not count:
        raise MaudeError("Maude did not understand the model")
    reached, todo = set(good), list(good)
    while todo:
        for earlier in before.get(todo.pop(), ()):
            if earlier in calm and earlier not in reached:
                reached.add(earlier)
                todo.append(earlier)
    return Recovery(count, len(calm), len(calm - reached), time.monotonic() - begun)
