# SPDX-License-Identifier: Apache-2.0
"""The results as Markdown tables: printed, and kept in doc/formal-results.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Final

from formal import library
from formal.hlpsl import syntax as s
from formal.layers import ATTACK, HELD, STUCK, layers
from formal.report import goal_lines, verdict, violated
from formal.scenarios import SCENARIOS, Scenario, load, quick
from formal.search import Result, search
from formal.variants import BOUNDS, SAFEGUARDS, attack

#: Where quick() is too slow to be run for each of seventy parts.
_FOR_LAYERS: Final = ("ab", "ab+ab", "ab+ba", "ai+judge", "ib+judge", "ib+judge of VM", "ab+ai")

Row = tuple[str, ...]


class Tables:
    """Makes the tables, prints each row as it is known, and remembers whether every verdict was the expected one.

    :param show: takes a line.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.as_expected = True

    def known(self) -> None:
        """The library: this search against what is known."""
        self._title("Known protocols", "The search against published verdicts (formal/library).")
        self._rows(("protocol", "model", "known", "found", "states", "seconds"), self._known())

    def protocol(self, with_long: bool) -> None:
        """The protocol as shipped, under every scenario."""
        self._title("SV2M as shipped", "formal/sv2m.hlpsl under each scenario (formal/scenarios.py).")
        scenarios = list(SCENARIOS.values() if with_long else quick())
        self._rows(("scenario", "meaning", "verdict", "longest", "states", "seconds"), self._protocol(scenarios))

    def variants(self) -> None:
        """One safeguard less each."""
        self._title("One safeguard less", "Generated from the same file (formal/variants.py); each must be UNSAFE.")
        headings = ("safeguard", "taken out", "scenario", "attack found", "messages", "seconds")
        self._rows(headings, self._variants())

    def layers(self) -> None:
        """One part less each."""
        self._title("One part less", "Each part of each message left out, nothing else changed (formal/layers.py).")
        self._rows(("message", "without it an attack", "without it nothing works", "held by others"), self._layers())

    def _title(self, title: str, text: str) -> None:
        self._show(f"\n## {title}\n\n{text}\n")

    def _rows(self, headings: Row, rows: Iterable[Row]) -> None:
        self._show(line(headings))
        self._show(line(tuple("---" for _ in headings)))
        for row in rows:
            self._show(line(row))

    def _expect(self, fulfilled: bool) -> str:
        self.as_expected &= fulfilled
        return "" if fulfilled else " (NOT EXPECTED)"

    def _known(self) -> Iterator[Row]:
        for one in library.known():
            result = one.search()
            found = verdict(result) + self._expect(verdict(result) == one.verdict)
            yield (one.path.stem, "typed" if one.typed else "untyped", one.verdict, found, *_effort(result))

    def _protocol(self, scenarios: Iterable[Scenario]) -> Iterator[Row]:
        for scenario in scenarios:
            result = search(scenario.of(load()), BOUNDS)
            found = verdict(result) + self._expect(result.safe)
            if result.violation is not None:
                found += f": {violated(result.violation)}"
            yield (scenario.name, scenario.meaning, found, f"{len(result.trace)} steps", *_effort(result))

    def _variants(self) -> Iterator[Row]:
        for safeguard in SAFEGUARDS:
            result = attack(safeguard, load())
            found = result.violation is not None and result.violation.fact.goal in safeguard.expected
            (what, *_) = goal_lines(result) if result.violation is not None else [verdict(result)]
            yield (
                safeguard.name,
                safeguard.removed,
                safeguard.scenario,
                what + self._expect(found),
                str(messages(result)),
                f"{result.seconds:.2f}",
            )

    def _layers(self) -> Iterator[Row]:
        found = layers(load(), tuple(SCENARIOS[name] for name in _FOR_LAYERS))
        for tag, group in groupby(found, key=lambda one: one.tag):
            parts = list(group)
            yield (
                tag,
                "; ".join(f"{one.part} ({one.detail})" for one in parts if one.finding == ATTACK),
                *(", ".join(one.part for one in parts if one.finding == finding) for finding in (STUCK, HELD)),
            )


def messages(result: Result) -> int:
    """How many messages a trace has, sent and received."""
    return sum((move.received is not None) + len(move.sent) for move in result.trace)


def _effort(result: Result) -> tuple[str, str]:
    return str(result.states), f"{result.seconds:.2f}"


def line(cells: Row) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def weakened(name: str) -> s.Specification:
    """The specification of a variant, with its scenario's composition as text.

    :raises KeyError: there is no such safeguard.
    """
    safeguard = {one.name: one for one in SAFEGUARDS}[name]
    return SCENARIOS[safeguard.scenario].of(safeguard.weakened(load())).specification
