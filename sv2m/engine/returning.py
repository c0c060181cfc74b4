# SPDX-License-Identifier: Apache-2.0
"""At A, the ways back: the VM goes on here, unlocked, and nothing of the attempt is left.

All ways are the same work. What differs is who decided: A before the commit, B's signature after it, or a person.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from sv2m import errors, protocol
from sv2m.db import messages
from sv2m.engine import losing, marking
from sv2m.engine.forgetting import forget_keys
from sv2m.engine.marking import check_not_released, locked_by
from sv2m.engine.work import Work

LOG = logging.getLogger(__name__)

#: Seconds that the VM waits for A's agent to let go of it.
_PATIENCE = 20.0


def withdraw(work: Work) -> None:
    """``withdrawing``: A gave up before the commit. The VM first, then the keys; B is told next.

    :raises HostError: the VM was released, and only a database restored from a backup believes that it was not.
    """
    if work.state.get("stopped") or work.state.get("locked"):
        _check_not_released(work)
    restore(work)
    actions = work.machine.local(protocol.Undone(datetime.now(UTC)))
    documents = [(messages.SENT, work.sign([action])) for action in actions if isinstance(action, protocol.Send)]
    # A peer may call its refusal what it likes.
    aborted = work.row.abort_requested and work.row.error_code == "aborted"
    status = "aborted" if aborted else "failed"
    work.commit(*documents, status=status, **losing.columns(work.row))


def take_back(work: Work) -> None:
    """``returning``: B signed that it does not run the VM, and never will. Only that lets A resume it."""
    restore(work)
    work.machine.local(protocol.Undone(datetime.now(UTC)))
    work.commit(status="failed", **losing.columns(work.row))


def reclaim(work: Work) -> None:
    """``reclaiming``: a person has decided that B is gone. The same; B is told, should it ever come back."""
    restore(work)
    signed = work.sign(work.machine.local(protocol.Undone(datetime.now(UTC))))
    work.commit((messages.SENT, signed), status="failed", **losing.columns(work.row))


def restore(work: Work) -> None:
    """Bring the server back to what it was, and destroy this attempt's keys. May be repeated."""
    state, services = work.state, work.services
    reached = bool(work.row.host)
    if work.row.host:
        try:
            # An agent that is gone must not keep the VM waiting: what its journal names it undoes when it starts again.
            services.edm.abort(work.context, work.row.host, work.id, patience=_PATIENCE)
        except errors.HostError as error:
            reached = not isinstance(error, errors.AgentLost)
            LOG.warning("Migration %s: the agent could not be told to abort: %s", work.id, error)
    if state.get("stopped") or state.get("locked"):
        try:
            _bring_back(work, asking=reached) if state.get("stopped") else marking.unlock(work)
        except errors.NotFound as error:
            # An administrator may delete what we have locked. Then nobody waits for it, but the keys still have to go.
            LOG.error("Migration %s: the server cannot be brought back, it is gone: %s", work.id, error)
    forget_keys(work)


def _check_not_released(work: Work) -> None:
    try:
        server = work.services.servers.get(work.row.server_id or "")
    except errors.NotFound:
        return
    check_not_released(work, server)


def _bring_back(work: Work, *, asking: bool) -> None:
    """Undo what was asked of Nova, when Nova has done it: a server on its way to a pause looks as if it ran.

    A pause whose answer was lost may be one that Nova has not even begun; :mod:`sv2m.engine.tidying` looks again.

    :param asking: whether the agent can be asked, because it answered just now.
    """
    servers, timeout = work.services.servers, work.services.conf.engine.landing_timeout
    # If not even our lock was set, what Nova does with the server somebody else has asked for.
    ours = locked_by(work.row, servers.get(work.row.server_id or ""))
    server = servers.settle(work.row.server_id or "", timeout, ours=("pausing", "unpausing") if ours else ())
    if work.state["found"] == "ACTIVE" and server["status"] in ("ACTIVE", "PAUSED"):
        if _power(work, server, asking=asking) == "paused":
            server = _unpause(work, server, ours=ours)
            if _power(work, server, asking=asking) == "paused":
                raise errors.HostError(f"server {server['id']} runs, says Nova, and stands still on its host")
        elif server["status"] == "PAUSED":
            # Nova could not write down that it goes on, and will not let a running server go on.
            servers.reset_active(server["id"])
    losing.note(work, server)
    servers.unlock(server["id"])


def _unpause(work: Work, server: dict[str, Any], *, ours: bool) -> dict[str, Any]:
    servers, timeout = work.services.servers, work.services.conf.engine.landing_timeout
    if server["status"] == "ACTIVE":
        # Nova would refuse to unpause what it takes for running. Pausing what is paused changes nothing but that.
        servers.pause(server["id"])
        servers.wait_for(server["id"], {"PAUSED"}, timeout, ours=ours)
    servers.unpause(server["id"])
    return servers.wait_for(server["id"], {"ACTIVE"}, timeout, ours=ours)


def _power(work: Work, server: dict[str, Any], *, asking: bool) -> str:
    """Whether the server goes on: running or paused.

    Nova need not know: it learns what its nova-compute has done when that has written it down, and the broker, or
    nova-compute, may die before. A server that stands still and is unlocked as if it ran would do so for good.
    """
    if asking:
        try:
            power = work.services.edm.power(work.context, work.row.host or "", server["id"], _PATIENCE)
        except Exception as error:
            # Whatever it is, it must not keep the VM waiting.
            LOG.warning("Migration %s: the agent does not say whether the server runs: %s", work.id, error)
        else:
            if power in ("running", "paused"):
                return power
    return "paused" if server["status"] == "PAUSED" or server["power"] == "paused" else "running"
