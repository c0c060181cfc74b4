# SPDX-License-Identifier: Apache-2.0
"""The shipped tables of :mod:`sv2m.protocol.states` as a Maude module, TABLES, on which rules.maude builds.

Nothing of a table is repeated by hand: a phase or a transition that is added to the code is in the next run of the
checker, and one that rules.maude knows and the code does not is found by the tests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from sv2m.protocol import states

ROLES: Final = {states.SOURCE_ROLE: "a", states.DESTINATION_ROLE: "b"}

#: The message that an event makes its side sign, as in sv2m/protocol/outgoing.py (compared by a test).
SENDS: Final = {
    "OfferRequested": "Offer",
    "ChallengeDue": "TokenBA1",
    "TokenDue": "TokenAB",
    "RoomHeld": "TokenBA2.accepted",
    "RoomRefused": "TokenBA2.refused",
    "KeysWrapped": "Envelope",
    "Sealed": "Transfer",
    "Restored": "Prepared",
    "Committed": "Release",
    "Resumed": "Receipt.resumed",
    "CannotResume": "Receipt.refused",
    "Removed": "Closure.removed",
    "DeclaredLost": "Receipt.refused",
    "DeclaredRunning": "Receipt.resumed",
}
#: An undoing at A before the Release is told to B, if there was a session (messages 1 to 4).
WITHDRAWAL: Final = ("Undone", "withdrawing", "Closure.withdrawn", "TokenBA2.accepted")
#: So is an undoing after it, when a person has decided that B is gone.
TAKEN_BACK: Final = ("Undone", "reclaiming", "Closure.taken-back")
#: B's phases in which it has answered the Envelope, as in sv2m/engine/conductor.py (compared by a test).
LANDED: Final = ("receiving", "verifying", "prepared", "resuming", "resumed", "settled", "closing", "closed")


def module(
    tables: Mapping[str, states.Table] = states.TABLES,
    *,
    without: Collection[str] = (),
    faults: Collection[str] = (),
) -> str:
    """The module TABLES.

    :param tables: by role; weakened versions bring tables of their own.
    :param without: rules of rules.maude (``rule('...)``) that do not hold in this version.
    :param faults: faults of rules.maude (``fault('...)``) that may happen in this version.
    """
    lines = [
        "mod TABLES is",
        "  protecting QID . protecting BOOL .",
        "  sorts Role QidSet . subsort Qid < QidSet .",
        "  ops a b : -> Role [ctor] .",
        "  op empty : -> QidSet [ctor] .",
        "  op _+_ : QidSet QidSet -> QidSet [ctor assoc comm id: empty] .",
        "  vars R : Role . vars P T M : Qid . vars S : QidSet .",
        "  eq M + M = M .",
        "  op _in_ : Qid QidSet -> Bool .",
        "  eq M in M + S = true .",
        "  eq M in S = false [owise] .",
        "  op kinds : QidSet -> QidSet .",
        "  eq kinds(empty) = empty .",
        "  eq kinds(M + S) = kind(M) + kinds(S) .",
        "  ops rule fault : Qid -> Bool .",
        *(f"  eq rule({qid(name)}) = false ." for name in without),
        "  eq rule(M) = true [owise] .",
        *(f"  eq fault({qid(name)}) = true ." for name in faults),
        "  eq fault(M) = false [owise] .",
        "  op kind : Qid -> Qid .",
        *(f"  eq kind({qid(name)}) = {qid(name.partition('.')[0])} ." for name in _messages() if "." in name),
        "  eq kind(M) = M [owise] .",
        "  op next : Role Qid Qid -> Qid .",
        "  op triggers : Role Qid -> QidSet .",
        "  op asks : Qid -> Qid .",
        "  op receives : Role -> QidSet .",
        "  op answers : Qid -> Qid .",
        "  op sends : Role Qid Qid QidSet -> QidSet .",
        "  op landed : Qid -> Bool .",
        "  op fromTheCommit : -> QidSet .",
        f"  eq fromTheCommit = {_set(states.FROM_THE_COMMIT)} .",
    ]
    for role, short in ROLES.items():
        for phase, row in tables[role].items():
            lines += [f"  eq next({short}, {qid(phase)}, {qid(on)}) = {qid(to)} ." for on, to in row.items()]
            lines.append(f"  eq triggers({short}, {qid(phase)}) = {_set(row)} .")
        lines.append(f"  eq receives({short}) = {_set(states.RECEIVES[role])} .")
    lines += [f"  eq asks({qid(phase)}) = {qid(kind)} ." for phase, kind in states.ASKS.items()]
    lines.append("  eq asks(P) = 'nothing [owise] .")
    lines += [f"  eq answers({qid(kind)}) = {qid(reply)} ." for kind, reply in states.REPLIES.items() if reply]
    lines.append("  eq answers(M) = 'nothing [owise] .")
    event, phase, message, session = WITHDRAWAL
    lines.append(f"  eq sends(a, {qid(phase)}, {qid(event)}, {qid(session)} + S) = {qid(message)} .")
    event, phase, message = TAKEN_BACK
    lines.append(f"  eq sends(a, {qid(phase)}, {qid(event)}, S) = {qid(message)} .")
    lines += [f"  eq sends(R, P, {qid(on)}, S) = {qid(message)} ." for on, message in SENDS.items()]
    lines.append("  eq sends(R, P, T, S) = empty [owise] .")
    lines += [f"  eq landed({qid(phase)}) = true ." for phase in LANDED]
    lines += ["  eq landed(P) = false [owise] .", "endm", ""]
    return "\n".join(lines)


def qid(name: str) -> str:
    """A name of the code as Maude's quoted identifier, which has no dots."""
    return "'" + name.replace(".", "-")


def _set(names: Iterable[str]) -> str:
    return " + ".join(qid(name) for name in names) or "empty"


def _messages() -> list[str]:
    return [*SENDS.values(), WITHDRAWAL[2], TAKEN_BACK[2]]
