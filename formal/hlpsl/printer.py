# SPDX-License-Identifier: Apache-2.0
"""From a syntax tree back to text: how generated variants are shown, and kept for other tools."""

from __future__ import annotations

from collections.abc import Iterable

from formal.hlpsl.syntax import (
    Action,
    Apply,
    Assign,
    Crypt,
    Equal,
    Fresh,
    Guard,
    Initial,
    Insert,
    Inverse,
    Member,
    Name,
    Pair,
    Receive,
    Request,
    Role,
    Secret,
    Send,
    Specification,
    Term,
    Transition,
    Witness,
)

_AND = " /\\ "


def render(specification: Specification) -> str:
    """The text of a specification; parse() makes the same tree of it."""
    parts = [_role(role) for role in specification.roles.values()]
    goals = "\n".join(f"  {goal.kind} {goal.name}" for goal in specification.goals)
    parts += [f"goal\n{goals}\nend goal\n", f"{specification.root}()\n"]
    return "\n".join(parts)


def render_term(term: Term) -> str:
    """The text of a message."""
    match term:
        case Name(name, primed):
            return name + ("'" if primed else "")
        case Pair(left, right):
            first = render_term(left)
            return (f"({first})" if isinstance(left, Pair) else first) + "." + render_term(right)
        case Crypt(body, key):
            return "{" + render_term(body) + "}_" + _key(key)
        case Inverse(key):
            return f"inv({render_term(key)})"
        case Apply(function, argument):
            return f"{render_term(function)}({render_term(argument)})"


def _key(key: Term) -> str:
    return f"({render_term(key)})" if isinstance(key, Pair) else render_term(key)


def _role(role: Role) -> str:
    lines = [f"role {role.name} ({_declared(role.parameters)})"]
    lines += [f"played_by {role.player}"] if role.player else []
    lines += ["def="]
    lines += [f"  local {_declared(role.local)}"] if role.local else []
    lines += [f"  const {_declared(role.constants)}"] if role.constants else []
    if role.initial:
        lines += ["  init " + _AND.join(_initial(item) for item in role.initial)]
    if role.intruder_knowledge:
        lines += ["  intruder_knowledge = {" + _list(role.intruder_knowledge) + "}"]
    if role.transitions:
        lines += ["  transition", *map(_transition, role.transitions)]
    if role.composition:
        calls = (f"    {call.role}({_list(call.arguments)})" for call in role.composition)
        lines += ["  composition", "\n    /\\\n".join(calls)]
    return "\n".join([*lines, "end role", ""])


def _declared(declarations: dict[str, str]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in declarations.items())


def _initial(item: Initial) -> str:
    return f"{item.variable} := {'{}' if item.value is None else render_term(item.value)}"


def _list(terms: Iterable[Term]) -> str:
    return ", ".join(map(render_term, terms))


def _transition(transition: Transition) -> str:
    guards = _AND.join(map(_guard, transition.guards))
    actions = "\n        /\\ ".join(map(_action, transition.actions))
    return f"    {transition.label}. {guards} =|>\n        {actions}"


def _guard(guard: Guard) -> str:
    match guard:
        case Equal(left, right, negated):
            plain = f"{render_term(left)} = {render_term(right)}"
        case Member(element, collection, negated):
            plain = f"in({render_term(element)}, {render_term(collection)})"
        case Receive(channel, message):
            return f"{channel}({render_term(message)})"
    return f"not({plain})" if negated else plain


def _action(action: Action) -> str:  # noqa: PLR0911 - one return for each kind of action
    match action:
        case Assign(target, value):
            return f"{target}' := {render_term(value)}"
        case Fresh(target):
            return f"{target}' := new()"
        case Insert(element, collection):
            return f"{collection}' := cons({render_term(element)}, {collection})"
        case Send(channel, message):
            return f"{channel}({render_term(message)})"
        case Witness(speaker, listener, goal, value):
            return f"witness({_list((speaker, listener))}, {goal}, {render_term(value)})"
        case Request(listener, speaker, goal, value, weak):
            name = "wrequest" if weak else "request"
            return f"{name}({_list((listener, speaker))}, {goal}, {render_term(value)})"
        case Secret(value, goal, agents):
            return f"secret({render_term(value)}, {goal}, {{{_list(agents)}}})"
