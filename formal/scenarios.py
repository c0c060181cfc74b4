# SPDX-License-Identifier: Apache-2.0
"""Who talks with whom: the compositions under which sv2m.hlpsl is searched.

A search has as many sessions as its composition, no more; so which compositions are searched is part of what a verdict
means. a and b are honest, i is the intruder's own cloud with a certificate of the same CA.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from formal.hlpsl import parse
from formal.hlpsl import syntax as s
from formal.model import Model, instantiate

#: The protocol as shipped.
MODEL: Final = Path(__file__).with_name("sv2m.hlpsl")


@dataclass(frozen=True)
class Scenario:
    """A composition.

    :param name: as the command line and the tables call it.
    :param calls: role and, for the sessions, source and destination.
    :param own: how many values of each type the intruder makes himself.
    :param long: takes more than half a minute.
    """

    name: str
    meaning: str
    calls: tuple[tuple[str, str, str], ...]
    own: int = 2
    long: bool = False

    def of(self, specification: s.Specification) -> Model:
        """The model of a specification with this composition in its root."""
        root = specification.roles[specification.root]
        composed = replace(root, composition=tuple(map(_call, self.calls)))
        roles = {**specification.roles, specification.root: composed}
        return instantiate(replace(specification, roles=roles), own=self.own)


def _call(call: tuple[str, str, str]) -> s.Call:
    role, one, other = call
    if role == "session":
        names: tuple[str, ...] = (one, other, f"k{one}", f"k{other}", "kca", "h")
    else:
        names = ("j", one, other, "kca", "h", "RJ")
    return s.Call(role, tuple(map(s.Name, names)))


def _sessions(*pairs: str) -> tuple[tuple[str, str, str], ...]:
    return tuple(("session", pair[0], pair[1]) for pair in pairs)


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("ab", "one migration between honest clouds", _sessions("ab")),
        Scenario("ab+ab", "two migrations the same way, at once", _sessions("ab", "ab")),
        Scenario("ab+ba", "one each way, at once", _sessions("ab", "ba")),
        Scenario(
            "ai+judge",
            "to the intruder, who then shows a judge his evidence of origin",
            (*_sessions("ai"), ("judge_of_origin", "a", "i")),
        ),
        Scenario(
            "ib+judge",
            "from the intruder, who then shows a judge his evidence of receipt",
            (*_sessions("ib"), ("judge_of_receipt", "b", "i")),
        ),
        Scenario("ab+ai", "a's second migration goes to the intruder", _sessions("ab", "ai")),
        Scenario("ab+ib", "b's second migration comes from the intruder", _sessions("ab", "ib")),
        Scenario("ai+ib", "to the intruder, and from the intruder", _sessions("ai", "ib"), own=1),
        Scenario("ab+ab+ab", "three migrations the same way, at once", _sessions("ab", "ab", "ab")),
        Scenario("ab+ai+ib", "all three pairs at once", _sessions("ab", "ai", "ib"), own=1, long=True),
        Scenario(
            "ib+judge of VM",
            "from the intruder, who then tells a judge which VM it was",
            (*_sessions("ib"), ("judge_of_vm", "b", "i")),
        ),
    )
}


def load() -> s.Specification:
    """The protocol as shipped."""
    return parse(MODEL.read_text())


def quick() -> Iterator[Scenario]:
    """The scenarios that take seconds."""
    return (scenario for scenario in SCENARIOS.values() if not scenario.long)
