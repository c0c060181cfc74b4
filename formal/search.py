# SPDX-License-Identifier: Apache-2.0
"""Breadth-first search through everything that the instances and the intruder can do, for a state that breaks a goal.

The search is complete within its bounds: the instances that the specification composes, the values that the intruder
may put into a message (knowledge.Matching), and, unless reductions are switched off, orders that cannot matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic, process_time

from formal.hlpsl import syntax as s
from formal.knowledge import Knowledge, Matching
from formal.model import INTRUDER, Environment, Model
from formal.steps import Fact, Move, Request, Secret, Sets, Stepper, Witness
from formal.trim import trimmed


@dataclass(frozen=True)
class Bounds:
    """What is searched, and what is left out.

    :param eager: reduction: a move that nothing can change is done first, and alone.
    :param symmetry: reduction: of two instances that are the same, the first begins.
    :param states: give up after so many.
    :param seconds: of wall time; give up after so many. None: never.
    """

    matching: Matching = field(default_factory=Matching)
    eager: bool = True
    symmetry: bool = True
    states: int = 5_000_000
    seconds: float | None = None


@dataclass(frozen=True)
class Violation:
    """A goal that does not hold.

    :param kind: secrecy_of, authentication_on, weak_authentication_on, or replay_protection_on, which is the part of
        authentication_on that says: only once.
    """

    kind: str
    fact: Fact


@dataclass(frozen=True)
class Result:
    """What a search found.

    :param trace: the moves that lead to the violation, or, when there is none, the longest that was seen.
    :param complete: whether everything within the bounds was searched.
    :param fired: the (role, label) of every transition that was done at least once.
    """

    violation: Violation | None
    trace: tuple[Move, ...]
    states: int
    complete: bool
    fired: frozenset[tuple[str, str]]
    seconds: float
    goals: tuple[s.Goal, ...]

    @property
    def safe(self) -> bool:
        """Whether no goal can be broken within the bounds."""
        return self.violation is None and self.complete


@dataclass(frozen=True, eq=False)
class _State:
    environments: tuple[Environment, ...]
    knowledge: Knowledge
    facts: frozenset[Fact]
    sets: Sets

    @property
    def key(self) -> tuple[object, ...]:
        return self.environments, self.knowledge.elements, self.facts, self.sets


@dataclass(frozen=True)
class _Node:
    """A state, and how it was reached."""

    state: _State
    move: Move | None
    before: _Node | None
    depth: int

    def trace(self) -> tuple[Move, ...]:
        moves = []
        node: _Node | None = self
        while node is not None and node.move is not None:
            moves.append(node.move)
            node = node.before
        return tuple(reversed(moves))


def search(model: Model, bounds: Bounds | None = None) -> Result:
    """Look for a state that breaks a goal; the nearest one is found."""
    return _Search(model, bounds or Bounds()).run()


class _Search:
    def __init__(self, model: Model, bounds: Bounds) -> None:
        self._model = model
        self._bounds = bounds
        self._stepper = Stepper(model.constants)
        self._injective = {goal.name for goal in model.specification.goals if goal.kind == "authentication_on"}
        self._checked = {goal.name for goal in model.specification.goals}
        self._fired: set[tuple[str, str]] = set()

    def run(self) -> Result:
        began = process_time()
        clock = monotonic()
        knowledge = Knowledge(frozenset(), self._bounds.matching).add(self._model.initial_knowledge)
        first = _State(tuple(i.start for i in self._model.instances), knowledge, frozenset(), frozenset())
        longest = _Node(first, None, None, 0)
        waiting = deque([longest])
        seen = {first.key}
        states = 0
        while waiting:
            node = waiting.popleft()
            states += 1
            limit = self._bounds.seconds is not None and monotonic() - clock > self._bounds.seconds
            if limit or states > self._bounds.states:
                return self._result(None, longest.trace(), states, False, began)
            if node.depth > longest.depth:
                longest = node
            for move in self._moves(node.state):
                self._fired.add((move.instance.role.name, move.transition.label))
                state = self._after(node.state, move)
                reached = _Node(state, move, node, node.depth + 1)
                violation = self._violation(node.state, state, move)
                if violation is not None:
                    replay = violation.kind == "replay_protection_on"
                    trace = trimmed(reached.trace(), violation.fact, knowledge, replay)
                    return self._result(violation, trace, states, True, began)
                if state.key not in seen:
                    seen.add(state.key)
                    waiting.append(reached)
        return self._result(None, longest.trace(), states, True, began)

    def _result(
        self, violation: Violation | None, trace: tuple[Move, ...], states: int, complete: bool, began: float
    ) -> Result:
        goals = self._model.specification.goals
        fired = frozenset(self._fired)
        return Result(violation, trace, states, complete, fired, process_time() - began, goals)

    def _moves(self, state: _State) -> Iterator[Move]:
        found: list[Move] = []
        for instance, environment in zip(self._model.instances, state.environments, strict=True):
            if self._bounds.symmetry and instance.twin is not None and environment == instance.start:
                twin = self._model.instances[instance.twin]
                if state.environments[twin.number] == twin.start:
                    continue
            moves = self._stepper.moves(instance, environment, state.knowledge, state.sets)
            if self._bounds.eager and moves and moves[0].forced:
                yield moves[0]
                return
            found += moves
        yield from found

    def _after(self, state: _State, move: Move) -> _State:
        environments = list(state.environments)
        environments[move.instance.number] = move.environment
        return _State(
            tuple(environments),
            state.knowledge.add(move.sent) if move.sent else state.knowledge,
            state.facts.union(fact for fact in move.facts if fact.goal in self._checked),
            state.sets.union(move.inserted),
        )

    def _violation(self, before: _State, after: _State, move: Move) -> Violation | None:
        for fact in after.facts:
            if isinstance(fact, Secret) and INTRUDER not in fact.agents and after.knowledge.derivable(fact.value):
                return Violation("secrecy_of", fact)
        for fact in move.facts:
            if not isinstance(fact, Request) or fact.goal not in self._checked or fact.speaker is INTRUDER:
                continue
            if Witness(fact.speaker, fact.listener, fact.goal, fact.value) not in after.facts:
                strong = fact.goal in self._injective and not fact.weak
                return Violation("authentication_on" if strong else "weak_authentication_on", fact)
            if fact.goal in self._injective and not fact.weak and fact in before.facts:
                return Violation("replay_protection_on", fact)
        return None
