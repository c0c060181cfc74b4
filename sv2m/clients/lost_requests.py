# SPDX-License-Identifier: Apache-2.0
"""Requests that Nova has taken, and of which nova-compute never heard.

nova-api writes down what a server is about to do and hands it to nova-compute in a message that nobody acknowledges.
If the broker dies with it, or is back before nova-compute has connected again, the message is lost, unless the queues
are durable: then the server is "deleting" or "pausing" until nova-compute is started again, and until then Nova
ignores, or refuses, to be asked once more.

What nova-compute has in hand shows as an unfinished event in Nova's record of actions, and what it has not taken out of
its queue yet it takes out as soon as it lives. So a task without such an event, at a nova-compute that has gone on
reporting since, is asked for once more, as an administrator would: os-resetState, and the same again. Only what the
caller itself has asked for, of a server that is locked for it or is to be deleted: nobody else's wishes are repeated,
or undone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from sv2m import errors
from sv2m.clients import cells
from sv2m.clients.failures import translated

LOG = logging.getLogger(__name__)

#: Seconds in which nova-compute begins what it was asked for, or fails. It does so within one; but when it has lost its
#: conductor, it takes Nova's rpc_response_timeout, a minute, to find out that it cannot write the beginning down.
BEGINS_WITHIN = 75.0
#: Seconds from one look at nova-compute to the next, when half of these are over.
_PAUSE = 5.0
#: After this time something unfinished at a nova-compute that reports was cut off: its end could not be written, as the
#: broker, or nova-compute, died amid it.
_CUT_OFF = timedelta(minutes=5)
#: The action in Nova's record, by the task that a server shows meanwhile.
_ACTIONS = {"deleting": "delete", "pausing": "pause", "unpausing": "unpause", "suspending": "suspend"}
#: By what it is asked for, where that has another name: a server that is to be deleted is to be gone, and not kept
#: until it is reclaimed.
_REQUESTS = {"deleting": "force_delete"}
#: Microversions. 2.51 shows events to whoever may see them.
_READ, _ASKED, _RECORD = "2.1", "2.1", "2.51"


class LostRequests:
    """One wait's look at a server: what is lost is asked for again."""

    def __init__(self, client: Callable[[str], Any], tasks: Collection[str], clock: Callable[[], float]) -> None:
        """``client`` gives python-novaclient's Client for a microversion; ``tasks`` are those that were asked for."""
        self._client = client
        self._tasks = tasks
        self._clock = clock
        self._task: str | None = None
        self._since = self._next = 0.0
        #: When nova-compute had last reported, by Nova's clock, when half of its time was over.
        self._reported: datetime | None = None
        self._to_unpause = False

    def look(self, server: dict[str, Any]) -> None:
        """Look at a server as it is now (:meth:`sv2m.clients.nova.Nova.get`), at each turn of the wait.

        :raises sv2m.errors.SV2MError: Nova failed.
        """
        task, now = server["task_state"], self._clock()
        if self._to_unpause and task is None and server["status"] == "PAUSED":
            self._to_unpause = False
            self._ask(server["id"], "unpause")
        if task not in self._tasks and not (self._to_unpause and task == "pausing"):
            self._task = task
        elif task != self._task:
            self._task, self._since, self._next = task, now, now + BEGINS_WITHIN / 2
            self._reported = None
        elif now >= self._next:
            self._next = now + _PAUSE
            if self._is_lost(server, _ACTIONS[task], now - self._since):
                LOG.warning("Nova: server %s is %s, and nova-compute does not know it: once more", server["id"], task)
                self._task = None
                self._ask_again(server["id"], task)

    def _is_lost(self, server: dict[str, Any], action: str, waited: float) -> bool:
        reported = self._report(server["host"])
        self._reported = self._reported or reported
        if waited < BEGINS_WITHIN or reported is None or self._reported is None or reported <= self._reported:
            return False
        try:
            # What was true before these questions need not be any more.
            return not self._in_hand(server["id"], action, reported) and self._is_at(server["id"], self._task)
        except errors.NotFound:
            return False  # the next look tells

    def _ask_again(self, server_id: str, task: str) -> None:
        # From "active" and "error" Nova lets a server be deleted, and from nothing but "active" be paused or suspended.
        # What is in "error" Nova leaves alone, and lets nobody run.
        self._ask(server_id, "reset_state", "error" if task == "deleting" else "active")
        if task == "unpausing":
            # Nova takes it for running now, which it is not, and would refuse to unpause it. Pausing what is paused
            # changes nothing but that.
            self._to_unpause = True
            self._ask(server_id, "pause")
        else:
            self._ask(server_id, _REQUESTS.get(task, _ACTIONS[task]))

    def _report(self, host: str) -> datetime | None:
        """When nova-compute has last reported; None where it does not."""
        if not host:
            return None
        found = cells.computes(self._client, host)
        return max((one.reported for one in found if one.up and one.reported), default=None)

    def _in_hand(self, server_id: str, action: str, reported: datetime) -> bool:
        with translated("Nova", f"read the actions of server {server_id}"):
            actions = self._client(_RECORD).instance_action
            listed = [one for one in actions.list(server_id) if one.action == action]
            if not listed:
                return False
            last = max(listed, key=lambda one: str(one.start_time))
            events = actions.get(server_id, last.request_id).events
        begun = [_time(event["start_time"]) for event in events if event["finish_time"] is None]
        return any(reported - one < _CUT_OFF for one in begun)

    def _is_at(self, server_id: str, task: str | None) -> bool:
        with translated("Nova", f"read server {server_id}"):
            # In a cell that does not answer this is an error; from 2.69 on it would be a server without a task.
            return bool(getattr(self._client(_READ).servers.get(server_id), "OS-EXT-STS:task_state") == task)

    def _ask(self, server_id: str, action: str, *arguments: str) -> None:
        with translated("Nova", f"{action.replace('_', ' ')} server {server_id}"):
            getattr(self._client(_ASKED).servers, action)(server_id, *arguments)


def _time(text: str) -> datetime:
    """A time of Nova's, which it gives in UTC and without saying so."""
    return datetime.fromisoformat(text).replace(tzinfo=None)
