# SPDX-License-Identifier: Apache-2.0
"""Every part of every message left out alone: which are needed by themselves, and which have another behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from formal import edit, fields
from formal.hlpsl import HlpslError
from formal.hlpsl import syntax as s
from formal.report import violated
from formal.scenarios import Scenario
from formal.search import search
from formal.variants import BOUNDS

ATTACK: Final = "attack"
STUCK: Final = "stuck"
HELD: Final = "held by others"


@dataclass(frozen=True)
class Layer:
    """A part, and what becomes of the protocol without it.

    :param finding: ATTACK; STUCK, when nothing gets to the end any more; or HELD, when another part still holds what
        this one holds.
    :param detail: which attack, or where it is stuck.
    """

    tag: str
    part: str
    finding: str
    detail: str


def layers(specification: s.Specification, scenarios: tuple[Scenario, ...]) -> Iterator[Layer]:
    """Every part, in the order of the table of fields."""
    for tag, names in fields.PARTS.items():
        for name in names:
            yield Layer(tag, name, *_without(edit.drop(tag, name)(specification), scenarios))


def _without(weakened: s.Specification, scenarios: tuple[Scenario, ...]) -> tuple[str, str]:
    fired: set[tuple[str, str]] = set()
    for scenario in scenarios:
        try:
            result = search(scenario.of(weakened), BOUNDS)
        except HlpslError as error:
            return STUCK, str(error)
        if result.violation is not None:
            return ATTACK, f"{scenario.name}: {violated(result.violation)}"
        fired |= result.fired
    missing = [
        f"{role.name}, step {step.label}"
        for role in weakened.roles.values()
        for step in role.transitions
        if (role.name, step.label) not in fired
    ]
    return (STUCK, f"role {missing[0]} is never reached") if missing else (HELD, "")
