# SPDX-License-Identifier: Apache-2.0
"""A model as a Maude module: one rule for each transition of each role, and the state in which everything begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path
from typing import Final

from formal import terms as t
from formal.hlpsl import HlpslError
from formal.hlpsl import syntax as s
from formal.model import Instance, Model, constant

INTRUDER: Final = Path(__file__).with_name("intruder.maude")


def module(model: Model) -> str:
    """The whole text that Maude is given.

    :raises HlpslError: the model has what intruder.maude does not know: sets.
    """
    lines = [INTRUDER.read_text(), "mod PROTOCOL is", "  protecting RUNS ."]
    lines += ["  var N : Nat . var E : Values . var RS : Runs . var KN : Knowledge . var F : Facts .", *_goals(model)]
    roles = {instance.role.name: instance.role for instance in model.instances}
    for role in roles.values():
        lines += _rules(role, model)
    runs = " ".join(map(_run, model.instances))
    known = " ".join(map(_term, model.initial_knowledge))
    lines += ["  op begin : -> State .", f"  eq begin = {{ {runs} | learn({known}, nothing) | silent }} .", "endm", ""]
    return "\n".join(lines)


def rule(role: str, label: str) -> str:
    """The label of a transition's rule."""
    return f"{role.replace('_', '-')}-{label.replace('_', '-')}"


def _goals(model: Model) -> Iterator[str]:
    of = {"secrecy_of": "hidden", "authentication_on": "strong", "weak_authentication_on": "weak"}
    for goal in model.specification.goals:
        yield f"  eq {of[goal.kind]}('{goal.name}) = true ."
    yield from (f"  eq {name}(G:Qid) = false [owise] ." for name in of.values())


def _rules(role: s.Role, model: Model) -> Iterator[str]:
    made = Counter(act.target for step in role.transitions for act in step.actions if isinstance(act, s.Fresh))
    if any(count > 1 for count in made.values()):
        raise HlpslError(f"role {role.name} makes one variable anew twice; the export names values by their variable")
    for step in role.transitions:
        write = _Writer(role, model)
        before, after = write.guards(step.guards)
        receives = "empty" if step.receives is None else write.pattern(step.receives)
        actions = " > ".join(map(write.action, step.actions)) or "done"
        yield (
            f"  crl [{rule(role.name, step.label)}] : {{ < N : '{role.name} | E > RS | KN | F }} => Z:State\n"
            f"    if Z:State or-to ZS:States := fire(< N : '{role.name} | E >, {before},\n"
            f"      {receives},\n      {after}, {actions}, RS, KN, F) ."
        )


class _Writer:
    """Writes what is in one role's transitions."""

    def __init__(self, role: s.Role, model: Model) -> None:
        self._role = role
        self._model = model
        self._kinds = {**role.parameters, **role.local}

    def pattern(self, term: s.Term) -> str:
        match term:
            case s.Name(name, primed) if name in self._kinds:
                return f"var('{name}, '{self._kinds[name]})" if primed else f"old('{name})"
            case s.Name():
                return _term(constant(term, self._model.constants))
            case s.Pair(left, right):
                return f"two({self.pattern(left)}, {self.pattern(right)})"
            case s.Crypt(body, key):
                return f"crypt({self.pattern(body)}, {self.pattern(key)})"
            case s.Inverse(key):
                return f"inv({self.pattern(key)})"
            case s.Apply(function, argument):
                return f"app({self.pattern(function)}, {self.pattern(argument)})"

    def guards(self, guards: Iterable[s.Guard]) -> tuple[str, str]:
        """Those that can be judged before the message comes, and those that need it."""
        before: list[str] = []
        after: list[str] = []
        for guard in guards:
            match guard:
                case s.Equal(left, right, negated):
                    word = "different" if negated else "same"
                    primed = any(name.primed for side in (left, right) for name in s.names(side))
                    (after if primed else before).append(f"{word}({self.pattern(left)}, {self.pattern(right)})")
                case s.Member():
                    raise HlpslError(f"role {self._role.name}: the export knows no sets")
        return " > ".join(before) or "free", " > ".join(after) or "free"

    def action(self, action: s.Action) -> str:
        match action:
            case s.Fresh(target):
                return f"fresh('{target}, '{self._kinds[target]})"
            case s.Assign(target, value):
                return f"assign('{target}, {self.pattern(value)})"
            case s.Send(_, message):
                return f"send({self.pattern(message)})"
            case s.Witness(speaker, listener, goal, value):
                return f"say({self._all(speaker, listener)}, '{goal}, {self.pattern(value)})"
            case s.Request(listener, speaker, goal, value, weak):
                word = "weakly-rely" if weak else "rely"
                return f"{word}({self._all(listener, speaker)}, '{goal}, {self.pattern(value)})"
            case s.Secret(value, goal, agents):
                return f"hide({self.pattern(value)}, '{goal}, {' & '.join(map(self.pattern, agents))})"
        raise HlpslError(f"role {self._role.name}: the export knows no sets")

    def _all(self, *terms: s.Term) -> str:
        return ", ".join(map(self.pattern, terms))


def _run(instance: Instance) -> str:
    held = (
        f"'{name} |-> {_term(value)}"
        for name, slot in instance.slots.items()
        # Channels all lead through the intruder: no transition looks at them.
        if (value := instance.start[slot]) is not None and not instance.kind(name).startswith("channel")
    )
    return f"< {instance.number} : '{instance.role.name} | {' + '.join(held) or 'none'} >"


def _term(term: t.Term) -> str:
    match term:
        case t.Atom():
            return f"const('{term.name}, '{term.kind})"
        case t.Pair():
            *first, result = map(_term, t.items(term))
            return reduce(lambda after, item: f"two({item}, {after})", reversed(first), result)
        case t.Crypt():
            return f"crypt({_term(term.body)}, {_term(term.key)})"
        case t.Inverse():
            return f"inv({_term(term.key)})"
        case t.Apply():
            return f"app({_term(term.function)}, {_term(term.argument)})"
    raise TypeError(type(term))
