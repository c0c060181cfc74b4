# SPDX-License-Identifier: Apache-2.0
"""Attack traces without what the attack does not need.

The search does forced moves at once, whoever makes them, so that a trace may hold beginnings of sessions that play no
part in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from formal.knowledge import Knowledge
from formal.steps import Fact, Move, Request, Secret, Witness


def trimmed(moves: tuple[Move, ...], fact: Fact, before: Knowledge, replay: bool) -> tuple[Move, ...]:
    """The trace without moves that it can do without; each instance's moves are left out from its end.

    :param fact: what is violated.
    :param before: what the intruder knew at the start.
    :param replay: whether the violation is that it was relied on a second time.
    """
    kept = list(moves)
    index = len(kept) - 1
    while index >= 0:
        shorter = kept[:index] + kept[index + 1 :]
        last = all(move.instance.number != kept[index].instance.number for move in kept[index + 1 :])
        if last and _violates(shorter, fact, before, replay):
            kept = shorter
        index -= 1
    return tuple(kept)


def _violates(moves: Sequence[Move], fact: Fact, knowledge: Knowledge, replay: bool) -> bool:
    held: list[Fact] = []
    for move in moves:
        if move.received is not None and not knowledge.derivable(move.received):
            return False
        knowledge = knowledge.add(move.sent)
        held += move.facts
    match fact:
        case Secret():
            return fact in held and knowledge.derivable(fact.value)
        case Request():
            witness = Witness(fact.speaker, fact.listener, fact.goal, fact.value)
            return held.count(fact) == 2 if replay else fact in held and witness not in held
    return False
