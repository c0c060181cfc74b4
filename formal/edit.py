# SPDX-License-Identifier: Apache-2.0
"""Taking something out of a specification, wherever it stands: how weakened variants are made of the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from formal import fields
from formal.hlpsl import HlpslError
from formal.hlpsl import syntax as s

Edit = Callable[[s.Specification], s.Specification]


def every_term(specification: s.Specification, change: Callable[[s.Term], s.Term]) -> s.Specification:
    """The specification with a change to every term of every transition, the innermost first."""

    def edit(item: s.Guard | s.Action) -> s.Guard | s.Action:
        match item:
            case s.Receive(channel, message):
                return s.Receive(channel, s.rewrite(message, change))
            case s.Send(channel, message):
                return s.Send(channel, s.rewrite(message, change))
            case s.Assign(target, value):
                return s.Assign(target, s.rewrite(value, change))
        return item

    return _every_transition(specification, lambda _, step: _step(step, edit))


def drop(tag: str, *names: str) -> Edit:
    """Leave parts out of every document of a tag."""

    def edit(specification: s.Specification) -> s.Specification:
        done: list[str] = []

        def change(term: s.Term) -> s.Term:
            return _without(term, tag, names, done)

        result = every_term(specification, change)
        if not done:
            raise HlpslError(f"no {tag} has {', '.join(names)}")
        return result

    return edit


def untag(*tags: str) -> Edit:
    """Leave out the tags themselves. Do it last: parts are found by the tag."""

    def change(term: s.Term) -> s.Term:
        if isinstance(term, s.Pair) and fields.tag_of(term) in tags:
            return term.right
        return term

    return lambda specification: every_term(specification, change)


def unsign(tag: str) -> Edit:
    """Leave the signature off every document of a tag."""

    def change(term: s.Term) -> s.Term:
        if isinstance(term, s.Crypt) and isinstance(term.key, s.Inverse) and fields.tag_of(term.body) == tag:
            return term.body
        return term

    return lambda specification: every_term(specification, change)


def anonymous_certificates(specification: s.Specification) -> s.Specification:
    """Leave the name out of every certificate ``{name.key}_inv(Kca)``, the intruder's too."""

    def change(term: s.Term) -> s.Term:
        match term:
            case s.Crypt(s.Pair(s.Name(), s.Name() as key), s.Inverse(s.Name("Kca" | "kca")) as authority):
                return s.Crypt(key, authority)
        return term

    edited = every_term(specification, change)
    root = edited.roles[edited.root]
    known = tuple(s.rewrite(term, change) for term in root.intruder_knowledge)
    return replace(edited, roles={**edited.roles, edited.root: replace(root, intruder_knowledge=known)})


def expose(tag: str, *names: str) -> Edit:
    """Take parts out of the signed document, and send them beside it."""

    def edit(specification: s.Specification) -> s.Specification:
        beside = _every_transition(specification, lambda _, step: _beside(step, tag, names))
        return drop(tag, *names)(beside)

    return edit


def forget(goal: str, *variables: str) -> Edit:
    """Leave values out of what the parties are to agree on under a goal."""

    def value(term: s.Term) -> s.Term:
        kept = tuple(item for item in s.items(term) if not (isinstance(item, s.Name) and item.name in variables))
        return s.pair(kept)

    def edit(item: s.Guard | s.Action) -> s.Guard | s.Action:
        if isinstance(item, (s.Witness, s.Request)) and item.goal == goal:
            return replace(item, value=value(item.value))
        return item

    return lambda specification: _every_transition(specification, lambda _, step: _step(step, edit))


def transitions(role: str, change: Callable[[dict[str, s.Transition]], dict[str, s.Transition]]) -> Edit:
    """Change the transitions, by label, of one role."""

    def edit(specification: s.Specification) -> s.Specification:
        old = specification.roles[role]
        new = change({step.label: step for step in old.transitions})
        roles = {**specification.roles, role: replace(old, transitions=tuple(new.values()))}
        return replace(specification, roles=roles)

    return edit


def declare(role: str, name: str, kind: str) -> Edit:
    """Give a role one more local variable."""

    def edit(specification: s.Specification) -> s.Specification:
        old = specification.roles[role]
        return replace(
            specification, roles={**specification.roles, role: replace(old, local={**old.local, name: kind})}
        )

    return edit


def substitute(transition: s.Transition, change: Callable[[s.Term], s.Term]) -> s.Transition:
    """One transition with a change to the terms that it receives and assigns."""

    def edit(item: s.Guard | s.Action) -> s.Guard | s.Action:
        match item:
            case s.Receive(channel, message):
                return s.Receive(channel, s.rewrite(message, change))
            case s.Assign(target, value):
                return s.Assign(target, s.rewrite(value, change))
        return item

    return _step(transition, edit)


def _every_transition(
    specification: s.Specification, change: Callable[[s.Role, s.Transition], s.Transition]
) -> s.Specification:
    roles = {
        name: replace(role, transitions=tuple(change(role, step) for step in role.transitions))
        for name, role in specification.roles.items()
    }
    return replace(specification, roles=roles)


def _step(step: s.Transition, edit: Callable[[s.Guard | s.Action], s.Guard | s.Action]) -> s.Transition:
    guards = tuple(item for item in map(edit, step.guards) if isinstance(item, s.Guard))
    actions = tuple(item for item in map(edit, step.actions) if isinstance(item, s.Action))
    return replace(step, guards=guards, actions=actions)


def _without(term: s.Term, tag: str, names: tuple[str, ...], done: list[str]) -> s.Term:
    if fields.tag_of(term) != tag:
        return term
    kept = [s.Name(tag)]
    held = fields.PARTS[tag]
    values = s.items(term)[1:]
    if len(values) != len(held):
        raise HlpslError(f"{tag} was changed before; leave all its parts out at once")
    result: list[s.Term] = [*kept]
    for name, value in zip(held, values, strict=True):
        if name in names:
            done.append(name)
        else:
            result.append(value)
    return s.pair(tuple(result))


def _beside(step: s.Transition, tag: str, names: tuple[str, ...]) -> s.Transition:
    assigned = {action.target: action.value for action in step.actions if isinstance(action, s.Assign)}

    def extended(message: s.Term) -> s.Term:
        result: list[s.Term] = []
        for item in s.items(message):
            value = assigned.get(item.name, item) if isinstance(item, s.Name) and item.primed else item
            result.append(item)
            if isinstance(value, s.Crypt) and fields.tag_of(value.body) == tag:
                values = fields.parts(value.body)
                result += [values[name] for name in names]
        return s.pair(tuple(result))

    def edit(item: s.Guard | s.Action) -> s.Guard | s.Action:
        match item:
            case s.Receive(channel, message):
                return s.Receive(channel, extended(message))
            case s.Send(channel, message):
                return s.Send(channel, extended(message))
        return item

    return _step(step, edit)
