# SPDX-License-Identifier: Apache-2.0
"""Which hosts' agents live, as far as this engine has asked lately.

In most clouds not every host has an agent, and Placement knows nothing of that. What was heard is kept for a while: it
is a hint where to ask first, and no more, for an agent may begin and end at any time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from sv2m import errors

#: Seconds after which it is as if a host had not been asked.
_KEPT = 600.0


class Living:
    """What hosts' agents have last answered.

    :param clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: Whether the host's agent answered, and when.
        self._heard: dict[str, tuple[bool, float]] = {}

    def heard(self, host: str, *, answered: bool) -> None:
        """A host's agent answered, or did not."""
        with self._lock:
            self._heard[host] = (answered, self._clock())

    def known(self, *, answered: bool) -> set[str]:
        """The hosts whose agents lately answered, or lately did not."""
        since = self._clock() - _KEPT
        with self._lock:
            return {host for host, (did, at) in self._heard.items() if did == answered and at >= since}

    def ask(self, hosts: Collection[str], ask: Callable[[str], object]) -> set[str]:
        """Ask agents, all at once. :returns: the hosts whose agents are silent."""
        if not hosts:
            return set()
        with ThreadPoolExecutor(len(hosts), thread_name_prefix="living") as threads:
            answered = dict(zip(hosts, threads.map(lambda host: self._asked(host, ask), hosts), strict=True))
        return {host for host, did in answered.items() if not did}

    def _asked(self, host: str, ask: Callable[[str], object]) -> bool:
        try:
            ask(host)
        except errors.AgentLost:
            self.heard(host, answered=False)
            return False
        self.heard(host, answered=True)
        return True
