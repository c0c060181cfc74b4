# SPDX-License-Identifier: Apache-2.0
"""What the Dolev-Yao intruder knows, what he can make of it, and how he can answer a pattern.

Source: D. Dolev, A. Yao, On the security of public key protocols (1983). Cryptography is perfect: without its key
nothing can be opened, changed or told apart; with its key everything can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from formal import terms as t

Binding = dict[str, t.Term]


@dataclass(frozen=True)
class Matching:
    """Which values a variable may take.

    :param typed: only values of its type, as in AVISPA's typed model; otherwise whatever the intruder holds.
    :param by_origin: of the values that honest roles made, only those made for a variable of the same name.
    """

    typed: bool = True
    by_origin: bool = False

    def allows(self, variable: t.Variable, value: t.Term) -> bool:
        """Whether the variable may have this value."""
        if not self.typed:
            return True
        if variable.kind == "message":
            return True
        if not isinstance(value, t.Atom) or value.kind != variable.kind:
            return False
        return not self.by_origin or value.origin in ("", variable.name)


def substitute(term: t.Term, binding: Mapping[str, t.Term]) -> t.Term:
    """The term with the variables' values, as far as they have some."""
    if term.ground:
        return term
    match term:
        case t.Variable():
            return binding.get(term.name, term)
        case t.Pair():
            return t.pair(substitute(term.left, binding), substitute(term.right, binding))
        case t.Crypt():
            return t.crypt(substitute(term.body, binding), substitute(term.key, binding))
        case t.Inverse():
            return t.inverse(substitute(term.key, binding))
        case t.Apply():
            return t.apply(substitute(term.function, binding), substitute(term.argument, binding))
    raise TypeError(type(term))


def unify(  # noqa: PLR0911 - one return for each kind of term
    pattern: t.Term, term: t.Term, binding: Binding, matching: Matching
) -> Binding | None:
    """The binding with what makes the pattern this ground term; None if nothing does."""
    if pattern.ground:
        return binding if pattern is term else None
    match pattern, term:
        case t.Variable(), _:
            bound = binding.get(pattern.name)
            if bound is not None:
                return binding if bound is term else None
            return {**binding, pattern.name: term} if matching.allows(pattern, term) else None
        case t.Pair(), t.Pair():
            left = unify(pattern.left, term.left, binding, matching)
            return None if left is None else unify(pattern.right, term.right, left, matching)
        case t.Crypt(), t.Crypt():
            key = unify(pattern.key, term.key, binding, matching)
            return None if key is None else unify(pattern.body, term.body, key, matching)
        case t.Inverse(), t.Inverse():
            return unify(pattern.key, term.key, binding, matching)
        case t.Apply(), t.Apply():
            function = unify(pattern.function, term.function, binding, matching)
            return None if function is None else unify(pattern.argument, term.argument, function, matching)
    return None


class Knowledge:
    """A set of terms, taken apart as far as they can be. It does not change; add() makes a larger one.

    :param elements: atoms, private halves, and what cannot be made from the others.
    """

    def __init__(self, elements: frozenset[t.Term], matching: Matching) -> None:
        self.elements = elements
        self._matching = matching
        self._ordered = sorted(elements, key=t.age)
        self._derivable: dict[t.Term, bool] = {}
        self._larger: dict[tuple[t.Term, ...], Knowledge] = {}
        self._answers: dict[t.Term, tuple[Binding, ...]] = {}

    def derivable(self, term: t.Term) -> bool:
        """Whether he can make a ground term."""
        if term in self.elements:
            return True
        known = self._derivable.get(term)
        if known is None:
            known = self._derivable[term] = self._composable(term)
        return known

    def _composable(self, term: t.Term) -> bool:
        match term:
            case t.Pair():
                return self.derivable(term.left) and self.derivable(term.right)
            case t.Crypt():
                return self.derivable(term.key) and self.derivable(term.body)
            case t.Apply():
                return self.derivable(term.function) and self.derivable(term.argument)
        return False

    def add(self, heard: tuple[t.Term, ...]) -> Knowledge:
        """What he knows after hearing more."""
        larger = self._larger.get(heard)
        if larger is None:
            elements = _analyse(self.elements, heard)
            larger = self if elements == self.elements else Knowledge(elements, self._matching)
            self._larger[heard] = larger
        return larger

    def answers(self, pattern: t.Term) -> tuple[Binding, ...]:
        """Every way, within the bounds, to make a message of this form: the values of its variables."""
        found = self._answers.get(pattern)
        if found is None:
            unique = {frozenset(binding.items()): binding for binding in self._match(pattern, {})}
            found = self._answers[pattern] = tuple(unique.values())
        return found

    def _match(self, pattern: t.Term, binding: Binding) -> Iterator[Binding]:
        pattern = substitute(pattern, binding)
        if pattern.ground:
            if self.derivable(pattern):
                yield binding
            return
        match pattern:
            case t.Variable():
                for element in self._ordered:
                    if self._matching.allows(pattern, element):
                        yield {**binding, pattern.name: element}
            case t.Pair():
                yield from self._match_all(sorted(t.items(pattern), key=_freedom), binding)
            case t.Crypt():
                yield from self._match_held(pattern, binding)
                yield from self._match_all([pattern.key, pattern.body], binding)
            case t.Apply():
                yield from self._match_held(pattern, binding)
                yield from self._match_all([pattern.function, pattern.argument], binding)
            case t.Inverse():
                yield from self._match_held(pattern, binding)

    def _match_held(self, pattern: t.Term, binding: Binding) -> Iterator[Binding]:
        for element in self._ordered:
            if type(element) is type(pattern):
                unified = unify(pattern, element, binding, self._matching)
                if unified is not None:
                    yield unified

    def _match_all(self, parts: list[t.Term], binding: Binding) -> Iterator[Binding]:
        if not parts:
            yield binding
            return
        for first in self._match(parts[0], binding):
            yield from self._match_all(parts[1:], first)


def _freedom(term: t.Term) -> int:
    """What narrows the choice most comes first: signatures and ciphertexts, then compounds, then variables."""
    if term.ground:
        return 0
    return 1 if isinstance(term, t.Crypt) else 3 if isinstance(term, t.Variable) else 2


def _analyse(held: frozenset[t.Term], heard: tuple[t.Term, ...]) -> frozenset[t.Term]:
    """Take apart what was heard, and what was held and can be opened now; drop what can be made again."""
    elements = set(held)
    locked = [element for element in held if isinstance(element, t.Crypt)]
    work = list(heard)
    while work:
        for term in work:
            for item in t.items(term):
                if item not in elements:
                    elements.add(item)
                    if isinstance(item, t.Crypt):
                        locked.append(item)
        now = _Composer(elements)
        opened = [item for item in locked if now.can(t.decryption_key(item.key))]
        locked = [item for item in locked if item not in opened]
        work = [item.body for item in opened if not now.can(item.body)]
    composer = _Composer(elements)
    # Its parts are smaller than it, so that they can be made does not rest on the element itself.
    return frozenset(element for element in elements if not composer.can_by_parts(element))


class _Composer:
    """What can be made of a set of terms that is still growing."""

    def __init__(self, elements: set[t.Term]) -> None:
        self._elements = elements
        self._known: dict[t.Term, bool] = {}

    def can(self, term: t.Term) -> bool:
        if term in self._elements:
            return True
        known = self._known.get(term)
        if known is None:
            known = self._known[term] = self.can_by_parts(term)
        return known

    def can_by_parts(self, term: t.Term) -> bool:
        match term:
            case t.Pair():
                return self.can(term.left) and self.can(term.right)
            case t.Crypt():
                return self.can(term.key) and self.can(term.body)
            case t.Apply():
                return self.can(term.function) and self.can(term.argument)
        return False
