# SPDX-License-Identifier: Apache-2.0
"""Messages while a search runs. Equal messages are the same object, so comparing them costs nothing.

A session id is a digest over four signed documents, and later messages hold it inside digests of digests; written
out, such a term has thousands of parts. Interned, it has a handful of new ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

PUBLIC_KEY: Final = "public_key"


class Term:
    """A message, or, with variables in it, the form of one. Make it with the functions below, never directly.

    :param ground: whether there is no variable in it.
    :param serial: how many were made before it.
    """

    __slots__ = ("ground", "serial")

    ground: bool
    serial: int

    def __repr__(self) -> str:
        return show(self)


class Atom(Term):
    """A name, key, nonce, number or constant.

    :param kind: its type in the specification.
    :param origin: the variable it was made for by new(); empty for a constant.
    """

    __slots__ = ("kind", "name", "origin")

    name: str
    kind: str
    origin: str


class Variable(Term):
    """A value that a message will bring.

    :param kind: its type in the specification.
    """

    __slots__ = ("kind", "name")

    name: str
    kind: str


class Pair(Term):
    """Two messages, one after the other."""

    __slots__ = ("left", "right")

    left: Term
    right: Term


class Crypt(Term):
    """A body under a key."""

    __slots__ = ("body", "key")

    body: Term
    key: Term


class Inverse(Term):
    """The private half of a key."""

    __slots__ = ("key",)

    key: Term


class Apply(Term):
    """A one-way function of an argument."""

    __slots__ = ("argument", "function")

    function: Term
    argument: Term


_INTERNED: dict[tuple[object, ...], Term] = {}
_T = TypeVar("_T", bound=Term)


def _intern(key: tuple[object, ...], made: _T) -> _T:
    made.serial = len(_INTERNED)
    _INTERNED[key] = made
    return made


def age(term: Term) -> int:
    """An order of terms that does not depend on addresses, so that a search finds the same attack each time."""
    return term.serial


def atom(name: str, kind: str, origin: str = "") -> Atom:
    """An atom."""
    key = (Atom, name, kind)
    found = _INTERNED.get(key)
    if isinstance(found, Atom):
        return found
    made = Atom()
    made.name, made.kind, made.origin, made.ground = name, kind, origin, True
    return _intern(key, made)


def variable(name: str, kind: str) -> Variable:
    """A variable."""
    key = (Variable, name, kind)
    found = _INTERNED.get(key)
    if isinstance(found, Variable):
        return found
    made = Variable()
    made.name, made.kind, made.ground = name, kind, False
    return _intern(key, made)


def pair(left: Term, right: Term) -> Pair:
    """A pair."""
    key = (Pair, left, right)
    found = _INTERNED.get(key)
    if isinstance(found, Pair):
        return found
    made = Pair()
    made.left, made.right, made.ground = left, right, left.ground and right.ground
    return _intern(key, made)


def crypt(body: Term, key: Term) -> Crypt:
    """An encryption or a signature."""
    index = (Crypt, body, key)
    found = _INTERNED.get(index)
    if isinstance(found, Crypt):
        return found
    made = Crypt()
    made.body, made.key, made.ground = body, key, body.ground and key.ground
    return _intern(index, made)


def inverse(key: Term) -> Term:
    """The other half of a key; of a private half, the public one."""
    if isinstance(key, Inverse):
        return key.key
    index = (Inverse, key)
    found = _INTERNED.get(index)
    if found is not None:
        return found
    made = Inverse()
    made.key, made.ground = key, key.ground
    return _intern(index, made)


def apply(function: Term, argument: Term) -> Apply:
    """A function's value."""
    key = (Apply, function, argument)
    found = _INTERNED.get(key)
    if isinstance(found, Apply):
        return found
    made = Apply()
    made.function, made.argument = function, argument
    made.ground = function.ground and argument.ground
    return _intern(key, made)


def decryption_key(key: Term) -> Term:
    """What opens something under a key: the other half, or the symmetric key itself."""
    if isinstance(key, Inverse) or (isinstance(key, Atom) and key.kind == PUBLIC_KEY):
        return inverse(key)
    return key


def items(term: Term) -> Iterator[Term]:
    """The items of a.b.c; of anything else, itself."""
    while isinstance(term, Pair):
        yield term.left
        term = term.right
    yield term


def atoms(term: Term) -> set[Atom]:
    """Every atom in a term."""
    found: set[Atom] = set()
    seen: set[Term] = set()
    work = [term]
    while work:
        part = work.pop()
        if part in seen:
            continue
        seen.add(part)
        match part:
            case Atom():
                found.add(part)
            case Pair():
                work += [part.left, part.right]
            case Crypt():
                work += [part.body, part.key]
            case Inverse():
                work.append(part.key)
            case Apply():
                work += [part.function, part.argument]
    return found


def show(term: Term) -> str:
    """A term as HLPSL writes it."""
    match term:
        case Atom() | Variable():
            return term.name
        case Pair():
            return ".".join(f"({show(item)})" if isinstance(item, Pair) else show(item) for item in items(term))
        case Crypt():
            return "{" + show(term.body) + "}_" + show(term.key)
        case Inverse():
            return f"inv({show(term.key)})"
        case Apply():
            return f"{show(term.function)}({show(term.argument)})"
    raise TypeError(type(term))
