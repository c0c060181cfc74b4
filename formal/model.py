# SPDX-License-Identifier: Apache-2.0
"""A specification made ready to run: which role instances there are, and what the intruder knows at the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from formal import executable
from formal import terms as t
from formal.hlpsl import HlpslError
from formal.hlpsl import syntax as s

INTRUDER: Final = t.atom("i", "agent")
START: Final = t.atom("start", "message")
#: Of each of these types the intruder can make values of his own; how many bounds the search.
_HIS_OWN: Final = ("text", "symmetric_key", t.PUBLIC_KEY)
_FUNCTIONS: Final = ("hash_func", "function")
_CHANNEL: Final = "channel(dy)"

Environment = tuple[t.Term | None, ...]


@dataclass(frozen=True)
class Instance:
    """One run of a basic role by an honest player.

    :param slots: the place of each variable in its environment.
    :param twin: the number of an instance before this one that is the same in all but its number; else None.
    """

    number: int
    role: s.Role
    slots: Mapping[str, int]
    start: Environment
    twin: int | None

    @property
    def player(self) -> t.Term:
        """Who plays it."""
        player = self.start[self.slots[self.role.player or ""]]
        if player is None:
            raise HlpslError(f"role {self.role.name} is played by nobody")
        return player

    def kind(self, variable: str) -> str:
        """The type of a variable."""
        kind = self.role.parameters.get(variable) or self.role.local.get(variable)
        if kind is None:
            raise HlpslError(f"role {self.role.name}: {variable} is not declared")
        return kind

    def value(self, name: s.Name, environment: Environment, constants: Mapping[str, t.Term]) -> t.Term:
        """The value of a name without regard to its prime."""
        slot = self.slots.get(name.name)
        if slot is None:
            return constant(name, constants)
        value = environment[slot]
        if value is None:
            raise HlpslError(f"role {self.role.name}: {name.name} has no value where it is used")
        return value


@dataclass(frozen=True)
class Model:
    """What is searched.

    :param sets: the names of shared sets, all empty at the start.
    """

    specification: s.Specification
    instances: tuple[Instance, ...]
    constants: Mapping[str, t.Term]
    initial_knowledge: tuple[t.Term, ...]
    sets: tuple[t.Term, ...]


def constant(name: s.Name, constants: Mapping[str, t.Term]) -> t.Term:
    """The value of a constant or number.

    :raises HlpslError: it is not declared.
    """
    if name.name.isdigit():
        return t.atom(name.name, "nat")
    found = constants.get(name.name)
    if found is None:
        raise HlpslError(f"{name.name} is not declared")
    return found


def evaluate(term: s.Term, lookup: Callable[[s.Name], t.Term]) -> t.Term:
    """The value of a term, given that of its names."""
    match term:
        case s.Name():
            return lookup(term)
        case s.Pair(left, right):
            return t.pair(evaluate(left, lookup), evaluate(right, lookup))
        case s.Crypt(body, key):
            return t.crypt(evaluate(body, lookup), evaluate(key, lookup))
        case s.Inverse(key):
            return t.inverse(evaluate(key, lookup))
        case s.Apply(function, argument):
            return t.apply(evaluate(function, lookup), evaluate(argument, lookup))


def instantiate(specification: s.Specification, root: str | None = None, own: int = 1) -> Model:
    """The model of a specification.

    :param root: the composed role to run, when not the one that the file names.
    :param own: how many values of each type the intruder makes himself.
    :raises HlpslError: a role, name or argument is missing, or a role could not do what its text says.
    """
    for role in specification.roles.values():
        executable.check(role)
    return _Builder(specification).build(root or specification.root, own)


class _Builder:
    def __init__(self, specification: s.Specification) -> None:
        self._specification = specification
        self._constants: dict[str, t.Term] = {"start": START, "i": INTRUDER}
        self._instances: list[Instance] = []
        self._knowledge: list[t.Term] = [START, INTRUDER]
        self._sets: dict[str, t.Term] = {}

    def build(self, root: str, own: int) -> Model:
        role = self._specification.roles.get(root)
        if role is None:
            raise HlpslError(f"there is no role {root}")
        for any_role in self._specification.roles.values():
            for name, kind in any_role.constants.items():
                self._constants[name] = t.atom(name, kind)
        self._compose(role, {})
        for kind in _HIS_OWN:
            made = [t.atom(f"i_{kind}{number or ''}", kind) for number in range(own)]
            self._knowledge += [*made, *map(t.inverse, made)] if kind == t.PUBLIC_KEY else made
        self._knowledge += [
            value for value in self._constants.values() if isinstance(value, t.Atom) and value.kind in _FUNCTIONS
        ]
        return Model(
            self._specification,
            tuple(self._instances),
            self._constants,
            tuple(self._knowledge),
            tuple(self._sets.values()),
        )

    def _compose(self, role: s.Role, environment: dict[str, t.Term]) -> None:
        for name, kind in role.local.items():
            # Channels all lead through the intruder, so it does not matter which is which.
            environment[name] = t.atom(name, kind)
        for initial in role.initial:
            if initial.value is not None:
                raise HlpslError(f"role {role.name}: only basic roles and sets are initialised")
            self._sets[initial.variable] = environment[initial.variable]

        def lookup(name: s.Name) -> t.Term:
            return environment.get(name.name) or constant(name, self._constants)

        self._knowledge += [evaluate(term, lookup) for term in role.intruder_knowledge]
        for call in role.composition:
            called = self._specification.roles.get(call.role)
            if called is None:
                raise HlpslError(f"role {role.name}: there is no role {call.role}")
            if len(call.arguments) != len(called.parameters):
                raise HlpslError(f"role {role.name}: {call.role} has {len(called.parameters)} parameters")
            arguments = [evaluate(argument, lookup) for argument in call.arguments]
            inner = dict(zip(called.parameters, arguments, strict=True))
            if called.composition:
                self._compose(called, inner)
            else:
                self._play(called, inner)

    def _play(self, role: s.Role, arguments: dict[str, t.Term]) -> None:
        if role.player is None or role.player not in arguments:
            raise HlpslError(f"role {role.name} does not say which of its parameters plays it")
        if arguments[role.player] is INTRUDER:
            return
        slots = {name: index for index, name in enumerate({**role.parameters, **role.local})}
        start: list[t.Term | None] = [None] * len(slots)
        for name, value in arguments.items():
            start[slots[name]] = value
        for initial in role.initial:
            if initial.variable not in role.local or not isinstance(initial.value, s.Name):
                raise HlpslError(f"role {role.name}: {initial.variable} cannot be initialised with this")
            start[slots[initial.variable]] = constant(initial.value, self._constants)
        twin = next((i.number for i in reversed(self._instances) if i.role is role and i.start == tuple(start)), None)
        self._instances.append(Instance(len(self._instances), role, slots, tuple(start), twin))
