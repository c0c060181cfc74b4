# SPDX-License-Identifier: Apache-2.0
"""Requests that Nova has taken, and of which nova-compute never heard.

nova-api writes down what a server is about to do and hands it to nova-compute in a message that nobody acknowledges.
If the broker dies with it, or is back before nova-compute has connected again, the message is lost, unless the queues
are durable: then the server is "deleting" or "pausing" until nova-compute is started again, and until then Nova
ignores, or refuses, to be asked once more.

What nova-compute has in hand shows as an unfinished event in Nova's record of actions. So a task without one, at a
nova-compute that reports, is asked for once more, as an administrator would: os-resetState, and the same again. A
message that was only late does no harm. Nova does what both say, one after the other, and the end is the same; a pause
that comes even later is what :mod:`sv2m.engine.tidying` looks for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sv2m.clients.failures import translated

LOG = logging.getLogger(__name__)

#: Seconds in which nova-compute begins what it was asked for; it does so within one, unless it is very busy.
BEGINS_WITHIN = 30.0
#: The action in Nova's record, by the task that a server shows meanwhile.
_ACTIONS = {"deleting": "delete", "pausing": "pause", "unpausing": "unpause", "suspending": "suspend"}


class LostRequests:
    """One wait's look at a server: what is lost is asked for again."""

    def __init__(self, client: Callable[[], Any], clock: Callable[[], float]) -> None:
        """``client`` gives python-novaclient's Client."""
        self._client = client
        self._clock = clock
        self._task: str | None = None
        self._since = 0.0
        self._to_unpause = False

    def look(self, server: dict[str, Any]) -> None:
        """Look at a server as it is now (:meth:`sv2m.clients.nova.Nova.get`), at each turn of the wait.

        :raises sv2m.errors.SV2MError: Nova failed.
        """
        task, now = server["task_state"], self._clock()
        if task != self._task:
            self._task, self._since = task, now
        if self._to_unpause and task is None and server["status"] == "PAUSED":
            self._to_unpause = False
            self._ask(server["id"], "unpause")
        if task not in _ACTIONS or now - self._since < BEGINS_WITHIN:
            return
        self._since = now
        if self._reports(server["host"]) and not self._in_hand(server["id"], _ACTIONS[task]):
            LOG.warning("Nova: server %s is %s, and nova-compute never heard of it: once more", server["id"], task)
            self._ask_again(server["id"], task)

    def _ask_again(self, server_id: str, task: str) -> None:
        # From "active" and "error" Nova lets a server be deleted, and from nothing but "active" be paused or suspended.
        self._ask(server_id, "reset_state", "error" if task == "deleting" else "active")
        if task == "unpausing":
            # Nova takes it for running now, which it is not, and would refuse to unpause it. Pausing what is paused
            # changes nothing but that.
            self._to_unpause = True
            self._ask(server_id, "pause")
        else:
            self._ask(server_id, _ACTIONS[task])

    def _reports(self, host: str) -> bool:
        """One that is away takes its messages out of the queue when it is back."""
        with translated("Nova", f"read the state of nova-compute on {host}"):
            found = self._client().services.list(host=host, binary="nova-compute")
        return any(service.state == "up" for service in found)

    def _in_hand(self, server_id: str, action: str) -> bool:
        with translated("Nova", f"read the actions of server {server_id}"):
            actions = self._client().instance_action
            listed = [one for one in actions.list(server_id) if one.action == action]
            if not listed:
                return False
            last = max(listed, key=lambda one: str(one.start_time))
            events = actions.get(server_id, last.request_id).events
        return any(event["finish_time"] is None for event in events)

    def _ask(self, server_id: str, action: str, *arguments: str) -> None:
        with translated("Nova", f"{action.replace('_', ' ')} server {server_id}"):
            getattr(self._client().servers, action)(server_id, *arguments)
