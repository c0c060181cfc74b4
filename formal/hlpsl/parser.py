# SPDX-License-Identifier: Apache-2.0
"""From a specification's text to its syntax tree."""

from __future__ import annotations

from typing import Final

from formal.hlpsl.lexer import HlpslError
from formal.hlpsl.reader import Reader
from formal.hlpsl.syntax import (
    Action,
    Assign,
    Call,
    Equal,
    Fresh,
    Goal,
    Guard,
    Initial,
    Insert,
    Member,
    Name,
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

__all__ = ["HlpslError", "parse"]

GOALS: Final = ("secrecy_of", "authentication_on", "weak_authentication_on")
_SECTIONS: Final = ("local", "const", "init", "intruder_knowledge", "transition", "composition")


def parse(text: str) -> Specification:
    """Read a specification.

    :raises HlpslError: it is not HLPSL, or uses a part of it that is not supported; with the line.
    """
    reader = Reader(text)
    roles: dict[str, Role] = {}
    while reader.skip("role"):
        role = _role(reader)
        roles[role.name] = role
    goals = _goals(reader)
    root = reader.identifier()
    reader.expect("(", ")")
    if reader.word:
        raise reader.error("the end was expected")
    if root not in roles:
        raise HlpslError(f"there is no role {root}")
    return Specification(roles, goals, root)


def _goals(reader: Reader) -> tuple[Goal, ...]:
    goals = []
    reader.expect("goal")
    while not reader.skip("end"):
        kind = reader.take()
        if kind not in GOALS:
            raise reader.error(f"a goal is {' or '.join(GOALS)}")
        goals.append(Goal(kind, reader.identifier()))
        while reader.skip(","):
            goals.append(Goal(kind, reader.identifier()))
    reader.expect("goal")
    return tuple(goals)


def _role(reader: Reader) -> Role:
    name = reader.identifier()
    reader.expect("(")
    parameters = {} if reader.word == ")" else _declarations(reader)
    reader.expect(")")
    player = reader.identifier() if reader.skip("played_by") else None
    reader.expect("def=")
    local: dict[str, str] = {}
    constants: dict[str, str] = {}
    initial: tuple[Initial, ...] = ()
    knowledge: tuple[Term, ...] = ()
    transitions: tuple[Transition, ...] = ()
    composition: tuple[Call, ...] = ()
    channels = {name for name, kind in parameters.items() if kind.startswith("channel")}
    while not reader.skip("end"):
        match reader.take():
            case "local":
                local |= _declarations(reader)
            case "const":
                constants |= _declarations(reader)
            case "init":
                initial += _initial(reader)
            case "intruder_knowledge":
                reader.expect("=", "{")
                knowledge += reader.terms("}")
            case "transition":
                transitions += _transitions(reader, channels)
            case "composition":
                composition += _composition(reader)
            case word:
                raise reader.error(f"{word!r} is none of {', '.join(_SECTIONS)}; before this")
    reader.expect("role")
    return Role(name, parameters, player, local, constants, initial, knowledge, transitions, composition)


def _declarations(reader: Reader) -> dict[str, str]:
    result: dict[str, str] = {}
    while True:
        names = [reader.identifier()]
        while reader.skip(","):
            names.append(reader.identifier())
        reader.expect(":")
        kind = _type(reader)
        result |= dict.fromkeys(names, kind)
        if not reader.skip(","):
            return result


def _type(reader: Reader) -> str:
    if reader.skip("("):  # (agent.public_key) set
        kind = reader.identifier()
        while reader.skip("."):
            kind += "." + reader.identifier()
        reader.expect(")")
    else:
        kind = reader.identifier()
    if kind == "channel":
        reader.expect("(", "dy", ")")
        kind = "channel(dy)"
    return f"({kind}) set" if reader.skip("set") else kind


def _initial(reader: Reader) -> tuple[Initial, ...]:
    result = []
    while True:
        variable = reader.identifier()
        reader.expect(":=")
        if reader.skip("{"):
            if reader.terms("}"):
                raise reader.error("a set begins empty and is filled in transitions; before this")
            result.append(Initial(variable, None))
        else:
            result.append(Initial(variable, reader.term()))
        if not reader.skip("/\\"):
            return tuple(result)


def _composition(reader: Reader) -> tuple[Call, ...]:
    calls = []
    while True:
        role = reader.identifier()
        reader.expect("(")
        calls.append(Call(role, reader.terms(")")))
        if not reader.skip("/\\"):
            return tuple(calls)


def _transitions(reader: Reader, channels: set[str]) -> tuple[Transition, ...]:
    result = []
    while reader.after(1) == "." and reader.word not in _SECTIONS:
        label = reader.identifier()
        reader.expect(".")
        guards = [_guard(reader, channels)]
        while reader.skip("/\\"):
            guards.append(_guard(reader, channels))
        reader.expect("=|>")
        actions = [_action(reader, channels)]
        while reader.skip("/\\"):
            actions.append(_action(reader, channels))
        result.append(Transition(label, tuple(guards), tuple(actions)))
    return tuple(result)


def _guard(reader: Reader, channels: set[str]) -> Guard:
    if reader.skip("not"):
        reader.expect("(")
        inner = _guard(reader, channels)
        reader.expect(")")
        match inner:
            case Equal(left, right, negated):
                return Equal(left, right, not negated)
            case Member(element, collection, negated):
                return Member(element, collection, not negated)
            case Receive():
                raise reader.error("a message that does not come cannot be waited for")
    if reader.word == "in" and reader.after(1) == "(":
        reader.expect("in", "(")
        element = reader.term()
        reader.expect(",")
        collection = reader.name()
        reader.expect(")")
        return Member(element, collection)
    if reader.word in channels and reader.after(1) == "(":
        channel = reader.take()
        reader.expect("(")
        message = reader.term()
        reader.expect(")")
        return Receive(channel, message)
    left = reader.term()
    negated = reader.skip("/=")
    if not negated:
        reader.expect("=")
    return Equal(left, reader.term(), negated)


def _action(reader: Reader, channels: set[str]) -> Action:
    name = reader.name()
    if name.primed:
        reader.expect(":=")
        if reader.word == "new" and reader.after(1) == "(":
            reader.expect("new", "(", ")")
            return Fresh(name.name)
        if reader.word == "cons" and reader.after(1) == "(":
            reader.expect("cons", "(")
            element = reader.term()
            reader.expect(",")
            if reader.name() != Name(name.name):
                raise reader.error(f"something can only be added to {name.name} itself")
            reader.expect(")")
            return Insert(element, name.name)
        return Assign(name.name, reader.term())
    reader.expect("(")
    if name.name in channels:
        message = reader.term()
        reader.expect(")")
        return Send(name.name, message)
    return _event(reader, name.name)


def _event(reader: Reader, name: str) -> Action:
    if name == "secret":
        value = reader.term()
        reader.expect(",")
        goal = reader.identifier()
        reader.expect(",", "{")
        agents = reader.terms("}")
        reader.expect(")")
        return Secret(value, goal, agents)
    if name not in ("witness", "request", "wrequest"):
        raise reader.error(f"{name!r} is no action; before this")
    one, other, goal_name, value = _four(reader)
    if name == "witness":
        return Witness(one, other, goal_name, value)
    return Request(one, other, goal_name, value, weak=name == "wrequest")


def _four(reader: Reader) -> tuple[Term, Term, str, Term]:
    one = reader.term()
    reader.expect(",")
    other = reader.term()
    reader.expect(",")
    goal = reader.identifier()
    reader.expect(",")
    value = reader.term()
    reader.expect(")")
    return one, other, goal, value
