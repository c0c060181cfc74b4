# SPDX-License-Identifier: Apache-2.0
"""What would let A prove which VM a Receipt is about: the Transfer names the trailer's signature by its digest.

As shipped, only whoever has VMK can tell which signed manifest a Transfer holds, and VMK is destroyed on both sides.
"""

from __future__ import annotations

from dataclasses import replace

from formal import fields
from formal.hlpsl import syntax as s


def transfer_names_its_trailer(specification: s.Specification) -> s.Specification:
    """The specification with the SHA-384 of the trailer's signature as the last part of every Transfer."""
    roles = {
        name: replace(role, transitions=tuple(map(_named, role.transitions)))
        for name, role in specification.roles.items()
    }
    return replace(specification, roles=roles)


def _named(step: s.Transition) -> s.Transition:
    trailer = next((term for term in _received(step) if fields.tag_of(_body(term)) == "binding"), None)

    def change(term: s.Term) -> s.Term:
        if fields.tag_of(term) != "transfer":
            return term
        sealed = s.items(term)[-1]
        match sealed:
            case s.Crypt(s.Pair(s.Name("stream0"), inside), _):
                named = inside
            case _ if trailer is not None:
                named = trailer
            case _:
                return term
        return s.pair((*s.items(term), s.Apply(s.Name("H"), named)))

    guards = tuple(
        replace(guard, message=s.rewrite(guard.message, change)) if isinstance(guard, s.Receive) else guard
        for guard in step.guards
    )
    actions = tuple(
        replace(action, value=s.rewrite(action.value, change)) if isinstance(action, s.Assign) else action
        for action in step.actions
    )
    return replace(step, guards=guards, actions=actions)


def _received(step: s.Transition) -> tuple[s.Term, ...]:
    return s.items(step.receives) if step.receives is not None else ()


def _body(term: s.Term) -> s.Term:
    return term.body if isinstance(term, s.Crypt) else term
