# SPDX-License-Identifier: Apache-2.0
"""Asks Maude whether a model breaks a goal, and whether it can be gone through to its end."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from formal.maude.export import module
from formal.maude.program import MaudeError, maude
from formal.model import Model


@dataclass(frozen=True)
class Opinion:
    """What Maude found.

    :param kind: of the goal that is broken (as search.Violation.kind), None where none is in any reachable state.
    :param goal: which one.
    :param trace: labels of the rules that lead there.
    :param states: how many states were looked at.
    :param seconds: of wall time.
    """

    kind: str | None
    goal: str | None
    trace: tuple[str, ...]
    states: int
    seconds: float

    @property
    def safe(self) -> bool:
        """Whether no reachable state breaks a goal."""
        return self.goal is None


def opinion(model: Model) -> Opinion:
    """Search everything that can be reached; the nearest state that breaks a goal is found.

    :raises MaudeError: Maude is missing, or did not understand.
    :raises HlpslError: see export.module().
    """
    begun = time.monotonic()
    with maude(module(model)) as (say, hear):
        say.write("search [1] begin =>* broken(Kind:Qid, Goal:Qid) .\n")
        say.flush()
        found: dict[str, str] = {}
        number, states = None, 0
        for line in hear:
            if match := re.match(r"Solution 1 \(state (\d+)\)", line):
                number = match[1]
            elif match := re.match(r"states: (\d+)", line):
                states = int(match[1])
                if number is None:
                    break
            elif match := re.match(r"(Kind|Goal):Qid --> '(\w+)", line):
                found[match[1]] = match[2]
                if len(found) == 2:
                    break
        if not states:
            raise MaudeError("Maude did not understand the model")
        trace: tuple[str, ...] = ()
        if number is not None:
            say.write(f"show path labels {number} .\nquit\n")
            say.flush()
            trace = tuple(line.strip() for line in hear if re.fullmatch(r"[a-z0-9-]+\n", line))
        return Opinion(found.get("Kind"), found.get("Goal"), trace, states, time.monotonic() - begun)


def reachable(model: Model, **states: str) -> bool:
    """Whether runs of these roles can all come into these states (the value of ``State``) at once.

    :raises MaudeError: Maude is missing, or did not understand.
    """
    wanted = " ".join(
        f"< N{role}:Nat : '{role} | 'State |-> const('{state}, 'nat) + E{role}:Values >"
        for role, state in states.items()
    )
    with maude(module(model)) as (say, hear):
        say.write(f"search [1] begin =>* {{ {wanted} RS:Runs | KN:Knowledge | F:Facts }} .\nquit\n")
        say.flush()
        answer = hear.read()
    if "states: " not in answer:
        raise MaudeError("Maude did not understand the model")
    return "Solution 1" in answer
