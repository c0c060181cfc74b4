# SPDX-License-Identifier: Apache-2.0
"""At B, the host for an arriving server: one with room, and with an agent that answers."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Any

from sv2m import errors, reporting
from sv2m.db import engine as database
from sv2m.db import services as reports
from sv2m.engine.work import Work

LOG = logging.getLogger(__name__)

#: Seconds in which it is found: far less than A's patience, of which the landing needs the larger part.
_WITHIN = 120.0
#: Hosts that are asked at the same time whether their agents live.
_AT_ONCE = 16


def find_room(work: Work, needs: dict[str, Any], project_id: str) -> dict[str, Any]:
    """Hold room on a host whose agent answers. Each host is asked once; one that was silent lately is asked last.

    :returns: the agent's data endpoint.
    :raises NoRoom: no host has room.
    :raises AgentLost: no host that has room has an agent that answered in time; names the last one that was chosen.
    """
    services, living = work.services, work.services.living
    ends = time.monotonic() + _WITHIN
    silent: set[str] = set()
    lost: errors.AgentLost | None = None
    hints = True
    while True:
        avoid: set[str] = silent | (living.known(answered=False) if hints else set())
        prefer = _alive(work)
        try:
            where = {"avoid": sorted(avoid), "prefer": sorted(prefer)}
            held = services.lmm.hold(work.context, work.id, needs, project_id, **where)
        except errors.NoRoom as error:
            if avoid != silent:
                # Who was silent for another server may answer by now.
                hints = False
                continue
            raise lost or error from error
        host = held["host"]
        work.note(host=host, project_id=project_id)
        work.remember(held=True, flavor_id=held["flavor_id"])
        try:
            endpoint = services.edm.endpoint(work.context, host)
        except errors.AgentLost as error:
            LOG.warning("Migration %s: %s; looking for room on another host", work.id, error)
            living.heard(host, answered=False)
            lost = error
            silent |= {host} | _ask_others(work, needs, project_id, silent | {host})
            if time.monotonic() > ends:
                raise
            continue
        living.heard(host, answered=True)
        return endpoint


def _ask_others(work: Work, needs: dict[str, Any], project_id: str, silent: set[str]) -> set[str]:
    """Ask some more agents at once: one after the other, few of many hosts having one, would take too long.

    :returns: the hosts whose agents are silent.
    """
    services, living = work.services, work.services.living
    try:
        fitting = services.lmm.fitting(work.context, needs, project_id)
    except errors.NoRoom:
        return set()
    alive = _alive(work)
    unknown = [host for host in fitting if host not in silent and host not in alive]
    return living.ask(unknown[:_AT_ONCE], lambda host: services.edm.endpoint(work.context, host))


def _alive(work: Work) -> set[str]:
    """Hosts whose agents lately answered: when an engine called the roll, or here."""
    with database.session() as session:
        reported = reports.up(session, reporting.AGENT, datetime.now(UTC))
    living = work.services.living
    return (set(reported) | living.known(answered=True)) - living.known(answered=False)
