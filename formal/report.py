# SPDX-License-Identifier: Apache-2.0
"""A result in the form in which AVISPA's back-ends print theirs, so that it can be read beside the paper's figure 5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from formal import terms as t
from formal.search import Bounds, Result, Violation
from formal.steps import Move, Secret

#: A message inside a message is written out once; after that, if it is longer than this, by its number.
_SHORT: Final = 48
_OF: Final = {
    "secrecy_of": "Secrecy attack on",
    "authentication_on": "Authentication attack on",
    "weak_authentication_on": "Authentication attack on",
    "replay_protection_on": "Replay attack on",
}


def verdict(result: Result) -> str:
    """SAFE, UNSAFE or INCONCLUSIVE."""
    if result.violation is not None:
        return "UNSAFE"
    return "SAFE" if result.complete else "INCONCLUSIVE"


def summary(result: Result, protocol: str, bounds: Bounds) -> str:
    """SUMMARY, DETAILS, PROTOCOL, GOAL, BACKEND, STATISTICS and, where there is one, ATTACK TRACE.

    :param protocol: the file's name.
    """
    details = [*(["ATTACK_FOUND"] if result.violation else []), "BOUNDED_NUMBER_OF_SESSIONS"]
    details.append("TYPED_MODEL" if bounds.matching.typed else "UNTYPED_MODEL")
    if not result.complete:
        details.append("LIMIT_REACHED")
    sections = [
        ("SUMMARY", [verdict(result)]),
        ("DETAILS", details),
        ("PROTOCOL", [protocol]),
        ("GOAL", goal_lines(result)),
        ("BACKEND", ["formal (bounded Dolev-Yao search)"]),
        ("STATISTICS", [f"Analysed : {result.states} states", f"Searched : {result.seconds:.2f} seconds"]),
    ]
    if result.violation is not None:
        sections.append(("ATTACK TRACE", list(trace_lines(result.trace))))
    return "\n\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in sections) + "\n"


def goal_lines(result: Result) -> list[str]:
    """What was checked, or what was broken."""
    if result.violation is not None:
        return [violated(result.violation)]
    return ["As specified", *(f"{goal.kind} {goal.name}" for goal in result.goals)]


def violated(violation: Violation) -> str:
    """A broken goal in a line."""
    fact = violation.fact
    if isinstance(fact, Secret):
        return f"{_OF[violation.kind]} {fact.goal}: the intruder knows {t.show(fact.value)}"
    return f"{_OF[violation.kind]} {fact.goal}, ({', '.join(map(t.show, (fact.listener, fact.speaker)))})"


def trace_lines(moves: tuple[Move, ...]) -> Iterator[str]:
    """A trace as a sequence of messages: ``i -> (b,2)`` is what the intruder gives b in its instance 2."""
    writer = Writer()
    for move in moves:
        who = player(move)
        if move.received is not None:
            yield f"i -> {who}: {writer.write(move.received)}"
        for message in move.sent:
            yield f"{who} -> i: {writer.write(message)}"


def player(move: Move) -> str:
    """An instance as AVISPA writes it: who plays it, and its number."""
    return f"({t.show(move.instance.player)},{move.instance.number + 1})"


class Writer:
    """Writes the messages of one trace; what it has written once it refers to afterwards."""

    def __init__(self) -> None:
        self._numbers: dict[t.Term, str] = {}

    def write(self, term: t.Term) -> str:
        """A message, its long parts numbered where they occur first."""
        match term:
            case t.Pair():
                items = (f"({self.write(i)})" if isinstance(i, t.Pair) else self.write(i) for i in t.items(term))
                return ".".join(items)
            case t.Crypt() | t.Apply():
                number = self._numbers.get(term)
                if number is not None:
                    return number
                if isinstance(term, t.Crypt):
                    text = "{" + self.write(term.body) + "}_" + self.write(term.key)
                else:
                    text = f"{self.write(term.function)}({self.write(term.argument)})"
                if len(text) <= _SHORT:
                    return text
                self._numbers[term] = f"#{len(self._numbers) + 1}"
                return f"{self._numbers[term]}={text}"
            case t.Inverse():
                return f"inv({self.write(term.key)})"
        return t.show(term)
