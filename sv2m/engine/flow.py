# SPDX-License-Identifier: Apache-2.0
"""The whole migration as two tables, in the order of the paper's figure 4: phase -> what is done -> who it asks.

A phase that is not in its table waits: at B for A's next message, and in the final phases for nothing. What undoes a
phase is the same for all phases before the commit: the row of ``withdrawing`` (A) or ``undoing`` (B).

The tables also say who may be made to wait. Only what has not begun queues: no server is stopped for it, no room held,
nothing made. Everything else is worked on at once, however much else the engine does; that a peer's or our own guest
stands still is the sharpest reason, and :func:`stands_still` says when that may be so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sv2m.db.models import Migration
from sv2m.engine import destination, returning, source, telling
from sv2m.engine.work import Work


@dataclass(frozen=True)
class Step:
    """One row of the table.

    :param do: what is done; may be cut off and repeated.
    :param asks: the modules and services that it asks, by itself or through a module, in the order in which it may come
        to them. Barbican is not named: KM asks it, MAM when it signs, and the agents. For the reader, the documentation
        and the crash matrix, which puts them out of order.
    :param may_fail: True where a failure sends the migration to its undoing; False where the step is repeated until
        it succeeds, because going back is not ours to decide any more, or is what we are doing.
    :param queues: True where it may wait for one of the engine's places, ``[engine] threads``: nothing has begun.
    :param stops: True where a guest may stand still: at B always A's guest, at A its own as soon as it was stopped.
    """

    do: Callable[[Work], None]
    asks: str
    may_fail: bool = True
    queues: bool = False
    stops: bool = False


SOURCE: Mapping[str, Step] = {
    "requested": Step(source.offer, "AZM, Nova, Cinder, EDM, CMM, MAM", queues=True),
    "offered": Step(source.authenticate, "peer, CMM, MAM"),
    "authenticated": Step(source.hear_decision, "peer, CMM, MAM, KM"),
    "accepted": Step(source.wrap_keys, "KM, Cinder, MAM"),
    "enveloped": Step(source.open_landing, "peer"),
    "transferring": Step(source.send, "Nova, Cinder, EDM, KM, MAM", stops=True),
    "transferred": Step(source.hear_prepared, "peer, CMM, MAM", stops=True),
    "prepared": Step(source.release, "CMM, Nova, Cinder, EDM, MAM", stops=True),
    "released": Step(source.hear_receipt, "Nova, peer, CMM, MAM", may_fail=False, stops=True),
    "receipted": Step(source.remove, "Neutron, Nova, EDM, Cinder, KM, MAM", may_fail=False),
    "closing": Step(telling.tell, "peer", may_fail=False),
    "withdrawing": Step(returning.withdraw, "EDM, Nova, KM, MAM", may_fail=False, stops=True),
    "telling": Step(telling.tell, "peer", may_fail=False),
    "returning": Step(returning.take_back, "EDM, Nova, KM", may_fail=False, stops=True),
    "reclaiming": Step(returning.reclaim, "EDM, Nova, KM, MAM", may_fail=False, stops=True),
    "reporting": Step(telling.report, "peer, CMM, MAM", may_fail=False),
    "relinquishing": Step(source.relinquish, "Neutron, Nova, EDM, Cinder, KM", may_fail=False),
    "inquiring": Step(telling.inquire, "peer, CMM, MAM", may_fail=False),
}

DESTINATION: Mapping[str, Step] = {
    "authenticated": Step(destination.decide, "CMM, AZM, Cinder, Neutron, LMM, Nova, EDM, KM, MAM", queues=True),
    "landing": Step(destination.land, "Nova, Cinder, Neutron, KM, Glance, LMM, EDM"),
    "verifying": Step(destination.verify_and_restore, "KM, MAM, EDM", stops=True),
    "resuming": Step(destination.resume, "EDM, Nova, Neutron, MAM", may_fail=False, stops=True),
    "resumed": Step(destination.forget, "Cinder, Neutron, Nova, KM, Glance, EDM", may_fail=False),
    "closing": Step(destination.forget, "Cinder, Neutron, Nova, KM, Glance, EDM", may_fail=False),
    "undoing": Step(destination.undo, "Nova, Cinder, Neutron, EDM, KM, Glance, LMM", may_fail=False),
}


def step(role: str, phase: str) -> Step | None:
    """What is to be done in this phase, None where somebody else has the next word."""
    return (SOURCE if role == "source" else DESTINATION).get(phase)


def stands_still(row: Migration) -> bool:
    """Whether a guest, ours or the peer's, may stand still until this engine has gone on with it."""
    found = step(row.role, row.phase)
    return found is not None and found.stops and (row.role == "destination" or bool((row.state or {}).get("stopped")))
