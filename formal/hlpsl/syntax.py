# SPDX-License-Identifier: Apache-2.0
"""The syntax tree of a specification, as the parser makes it. Everything is immutable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A variable, constant or number. ``X'`` is the value that X gets in this transition."""

    name: str
    primed: bool = False


@dataclass(frozen=True)
class Pair:
    """``left.right``; the dot associates to the right."""

    left: Term
    right: Term


@dataclass(frozen=True)
class Crypt:
    """``{body}_key``: symmetric, or to a public key, or, with inv(key), a signature."""

    body: Term
    key: Term


@dataclass(frozen=True)
class Inverse:
    """``inv(key)``: the private half."""

    key: Term


@dataclass(frozen=True)
class Apply:
    """``function(argument)``: a hash or a constructor that everybody can compute and nobody can invert."""

    function: Name
    argument: Term


Term = Name | Pair | Crypt | Inverse | Apply


def pair(items: tuple[Term, ...]) -> Term:
    """``a.b.c`` of at least one item."""
    *first, result = items
    for item in reversed(first):
        result = Pair(item, result)
    return result


def items(term: Term) -> tuple[Term, ...]:
    """The items of ``a.b.c``; of anything else, itself."""
    result = []
    while isinstance(term, Pair):
        result.append(term.left)
        term = term.right
    return (*result, term)


def subterms(term: Term) -> Iterator[Term]:
    """The term and everything inside, outermost first."""
    yield term
    for part in _parts(term):
        yield from subterms(part)


def names(term: Term) -> Iterator[Name]:
    """Every name in the term, with repetitions."""
    return (part for part in subterms(term) if isinstance(part, Name))


def rewrite(term: Term, change: Callable[[Term], Term]) -> Term:
    """The term with ``change`` done to every part of it, the innermost first."""
    match term:
        case Name():
            return change(term)
        case Pair(left, right):
            return change(Pair(rewrite(left, change), rewrite(right, change)))
        case Crypt(body, key):
            return change(Crypt(rewrite(body, change), rewrite(key, change)))
        case Inverse(key):
            return change(Inverse(rewrite(key, change)))
        case Apply(function, argument):
            return change(Apply(function, rewrite(argument, change)))


def _parts(term: Term) -> tuple[Term, ...]:
    match term:
        case Name():
            return ()
        case Pair(left, right):
            return (left, right)
        case Crypt(body, key):
            return (body, key)
        case Inverse(key):
            return (key,)
        case Apply(function, argument):
            return (function, argument)


@dataclass(frozen=True)
class Equal:
    """A guard: ``left = right``, or not."""

    left: Term
    right: Term
    negated: bool = False


@dataclass(frozen=True)
class Member:
    """A guard: ``in(element, collection)``, or not."""

    element: Term
    collection: Name
    negated: bool = False


@dataclass(frozen=True)
class Receive:
    """A guard: a message of this form comes. Primed names in it get their values from it."""

    channel: str
    message: Term


@dataclass(frozen=True)
class Assign:
    """An action: ``target' := value``."""

    target: str
    value: Term


@dataclass(frozen=True)
class Fresh:
    """An action: ``target' := new()``: a value that nobody else has."""

    target: str


@dataclass(frozen=True)
class Insert:
    """An action: ``collection' := cons(element, collection)``."""

    element: Term
    collection: str


@dataclass(frozen=True)
class Send:
    """An action: the message goes out."""

    channel: str
    message: Term


@dataclass(frozen=True)
class Witness:
    """An action: ``witness(speaker, listener, goal, value)``: I mean this value for that listener."""

    speaker: Term
    listener: Term
    goal: str
    value: Term


@dataclass(frozen=True)
class Request:
    """An action: ``request(listener, speaker, goal, value)``: I rely on the speaker having meant this for me.

    :param weak: wrequest: it may have been meant for another run of mine.
    """

    listener: Term
    speaker: Term
    goal: str
    value: Term
    weak: bool = False


@dataclass(frozen=True)
class Secret:
    """An action: ``secret(value, goal, {agents})``: nobody but these shall ever know it."""

    value: Term
    goal: str
    agents: tuple[Term, ...]


Guard = Equal | Member | Receive
Action = Assign | Fresh | Insert | Send | Witness | Request | Secret


@dataclass(frozen=True)
class Transition:
    """One step of a role: when all guards hold, all actions happen at once."""

    label: str
    guards: tuple[Guard, ...]
    actions: tuple[Action, ...]

    @property
    def receives(self) -> Term | None:
        """What it waits for."""
        return next((guard.message for guard in self.guards if isinstance(guard, Receive)), None)


@dataclass(frozen=True)
class Call:
    """``role(arguments)`` inside a composition."""

    role: str
    arguments: tuple[Term, ...]


@dataclass(frozen=True)
class Initial:
    """``init variable := value``; None is the empty set."""

    variable: str
    value: Term | None


@dataclass(frozen=True)
class Role:
    """A role: basic (player and transitions) or composed (composition).

    :param parameters: and local, constants: type by name, in the order of the text.
    :param initial: values of local variables at the start.
    """

    name: str
    parameters: dict[str, str]
    player: str | None
    local: dict[str, str]
    constants: dict[str, str]
    initial: tuple[Initial, ...]
    intruder_knowledge: tuple[Term, ...]
    transitions: tuple[Transition, ...]
    composition: tuple[Call, ...]


@dataclass(frozen=True)
class Goal:
    """``secrecy_of``, ``authentication_on`` or ``weak_authentication_on``, and the protocol_id it is about."""

    kind: str
    name: str


@dataclass(frozen=True)
class Specification:
    """A file: roles by name, goals, and the role that is run."""

    roles: dict[str, Role]
    goals: tuple[Goal, ...]
    root: str
