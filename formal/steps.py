# SPDX-License-Identifier: Apache-2.0
"""What an instance can do next: one role's transitions under a given knowledge of the intruder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from formal import terms as t
from formal.hlpsl import HlpslError
from formal.hlpsl import syntax as s
from formal.knowledge import Knowledge, substitute
from formal.model import Environment, Instance, evaluate

Sets = frozenset[tuple[t.Term, t.Term]]


@dataclass(frozen=True)
class Witness:
    """The speaker meant this value for the listener."""

    speaker: t.Term
    listener: t.Term
    goal: str
    value: t.Term


@dataclass(frozen=True)
class Request:
    """The listener relies on it."""

    listener: t.Term
    speaker: t.Term
    goal: str
    value: t.Term
    weak: bool


@dataclass(frozen=True)
class Secret:
    """Only these may know it."""

    value: t.Term
    goal: str
    agents: frozenset[t.Term]


Fact = Witness | Request | Secret


@dataclass(frozen=True)
class Move:
    """A transition of an instance, with everything that it does.

    :param received: the message that it took; None when it waited for none.
    :param inserted: (set, element).
    :param forced: nothing that anybody could learn or do first would change it: it may be done at once.
    """

    instance: Instance
    transition: s.Transition
    received: t.Term | None
    sent: tuple[t.Term, ...]
    environment: Environment
    facts: tuple[Fact, ...]
    inserted: tuple[tuple[t.Term, t.Term], ...]
    forced: bool


class Stepper:
    """Finds moves; what was found for an environment and a knowledge is kept."""

    def __init__(self, constants: Mapping[str, t.Term]) -> None:
        self._constants = constants
        self._found: dict[tuple[int, Environment, int], tuple[Move, ...]] = {}
        self._waiting: dict[tuple[int, Environment], tuple[tuple[s.Transition, t.Term | None], ...]] = {}

    def moves(self, instance: Instance, environment: Environment, knowledge: Knowledge, sets: Sets) -> tuple[Move, ...]:
        """All moves of an instance, in the order of its transitions."""
        if _uses_sets(instance.role):
            return tuple(self._moves(instance, environment, knowledge, sets))
        key = (instance.number, environment, id(knowledge))
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = tuple(self._moves(instance, environment, knowledge, sets))
        return found

    def _moves(self, instance: Instance, environment: Environment, knowledge: Knowledge, sets: Sets) -> Iterator[Move]:
        waiting = self._waits(instance, environment)
        for transition, pattern in waiting:
            for binding in ({},) if pattern is None else knowledge.answers(pattern):
                act = _Act(instance, transition, environment, binding, self._constants, sets)
                if act.allowed():
                    received = None if pattern is None else substitute(pattern, binding)
                    yield act.do(received, len(waiting) == 1 and (pattern is None or pattern.ground))

    def _waits(self, instance: Instance, environment: Environment) -> tuple[tuple[s.Transition, t.Term | None], ...]:
        """The transitions that an environment is ready for, and the form of what each waits for."""
        key = (instance.number, environment)
        found = self._waiting.get(key)
        if found is None:
            found = self._waiting[key] = tuple(
                (transition, self._pattern(transition, instance, environment))
                for transition in instance.role.transitions
                if self._open(transition, instance, environment)
            )
        return found

    def _open(self, transition: s.Transition, instance: Instance, environment: Environment) -> bool:
        """Whether the guards hold that do not depend on the message."""
        for guard in transition.guards:
            if isinstance(guard, s.Equal) and not any(n.primed for side in _sides(guard) for n in s.names(side)):
                left, right = (
                    evaluate(side, lambda n: instance.value(n, environment, self._constants)) for side in _sides(guard)
                )
                if (left is right) == guard.negated:
                    return False
        return True

    def _pattern(self, transition: s.Transition, instance: Instance, environment: Environment) -> t.Term | None:
        if transition.receives is None:
            return None

        def lookup(name: s.Name) -> t.Term:
            if name.primed:
                return t.variable(name.name, instance.kind(name.name))
            return instance.value(name, environment, self._constants)

        return evaluate(transition.receives, lookup)


def _sides(guard: s.Equal) -> tuple[s.Term, s.Term]:
    return guard.left, guard.right


def _uses_sets(role: s.Role) -> bool:
    return any(kind.endswith(" set") for kind in role.parameters.values())


class _Act:
    """One transition being done."""

    def __init__(  # noqa: PLR0917
        self,
        instance: Instance,
        transition: s.Transition,
        environment: Environment,
        binding: Mapping[str, t.Term],
        constants: Mapping[str, t.Term],
        sets: Sets,
    ) -> None:
        self._instance = instance
        self._transition = transition
        self._old = environment
        self._new = dict(binding)
        self._constants = constants
        self._sets = sets

    def _value(self, name: s.Name) -> t.Term:
        if name.primed:
            try:
                return self._new[name.name]
            except KeyError:
                raise HlpslError(
                    f"role {self._instance.role.name}, step {self._transition.label}: {name.name}' is not set yet"
                ) from None
        return self._instance.value(name, self._old, self._constants)

    def allowed(self) -> bool:
        """Whether the guards hold that depend on the message or on sets."""
        for guard in self._transition.guards:
            match guard:
                case s.Equal(left, right, negated):
                    if (evaluate(left, self._value) is evaluate(right, self._value)) == negated:
                        return False
                case s.Member(element, collection, negated):
                    held = (self._value(collection), evaluate(element, self._value)) in self._sets
                    if held == negated:
                        return False
        return True

    def do(self, received: t.Term | None, determined: bool) -> Move:
        sent: list[t.Term] = []
        facts: list[Fact] = []
        inserted: list[tuple[t.Term, t.Term]] = []
        fresh: set[t.Term] = set()
        for action in self._transition.actions:
            match action:
                case s.Fresh(target):
                    fresh.add(self._fresh(target))
                case s.Assign(target, value):
                    self._new[target] = evaluate(value, self._value)
                case s.Insert(element, collection):
                    inserted.append((self._value(s.Name(collection)), evaluate(element, self._value)))
                case s.Send(_, message):
                    sent.append(evaluate(message, self._value))
                case _:
                    facts.append(self._fact(action))
        environment = list(self._old)
        for name, now in self._new.items():
            environment[self._instance.slots[name]] = now
        guarded = any(isinstance(guard, s.Member) for guard in self._transition.guards)
        # A witness that is early could hide that somebody relied on its value before; nobody can rely before on
        # a value that is made here.
        new = all(not isinstance(fact, Witness) or not fresh.isdisjoint(t.atoms(fact.value)) for fact in facts)
        return Move(
            self._instance,
            self._transition,
            received,
            tuple(sent),
            tuple(environment),
            tuple(facts),
            tuple(inserted),
            determined and new and not guarded and not inserted,
        )

    def _fresh(self, target: str) -> t.Term:
        kind = self._instance.kind(target)
        name = f"{target}_{self._instance.number + 1}"
        while any(isinstance(held, t.Atom) and held.name == name for held in self._old):
            name += "'"  # the same variable anew in a later step
        made = t.atom(name, kind, target)
        self._new[target] = made
        return made

    def _fact(self, action: s.Action) -> Fact:
        match action:
            case s.Witness(speaker, listener, goal, value):
                return Witness(self._of(speaker), self._of(listener), goal, self._of(value))
            case s.Request(listener, speaker, goal, value, weak):
                return Request(self._of(listener), self._of(speaker), goal, self._of(value), weak)
            case s.Secret(value, goal, agents):
                return Secret(self._of(value), goal, frozenset(map(self._of, agents)))
        raise HlpslError(f"role {self._instance.role.name}: an action of another kind")

    def _of(self, term: s.Term) -> t.Term:
        return evaluate(term, self._value)
