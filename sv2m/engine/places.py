# SPDX-License-Identifier: Apache-2.0
"""How many migrations an engine begins at a time, and whose turn is next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator


class Places:
    """A bounded number of places, and a queue for them in which no peer keeps out the others.

    The next one is of the peer that has the fewest places, and no peer has more than half of them: the one whose
    offers all hang at a service that is slow, or that it names itself, leaves the rest to everybody else. Not safe for
    threads: whoever shares it holds a lock.

    :param number: how many places there are.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._share = max(1, number // 2)
        #: Who has a place, and who wants one, in the order of asking: migration -> peer.
        self._taken: dict[str, str] = {}
        self._waiting: dict[str, str] = {}

    def ask(self, migration_id: str, peer: str) -> None:
        """Queue for a place; nothing changes for one that has a place, or that queues."""
        if migration_id not in self._taken:
            self._waiting.setdefault(migration_id, peer)

    def leave(self, migration_id: str) -> None:
        """Give up the place, or the wish for one."""
        self._taken.pop(migration_id, None)
        self._waiting.pop(migration_id, None)

    def give(self) -> Iterator[str]:
        """Give away what is free. :returns: the migrations that have a place from now on."""
        while len(self._taken) < self._number and (next_one := self._next()) is not None:
            self._taken[next_one] = self._waiting.pop(next_one)
            yield next_one

    def waits(self, migration_id: str) -> bool:
        """Whether it queues."""
        return migration_id in self._waiting

    def has(self, migration_id: str) -> bool:
        """Whether it has a place."""
        return migration_id in self._taken

    def clear(self) -> list[str]:
        """Send everybody in the queue away. :returns: who these were."""
        sent = list(self._waiting)
        self._waiting.clear()
        return sent

    def _next(self) -> str | None:
        taken = Counter(self._taken.values())
        able = [one for one, peer in self._waiting.items() if taken[peer] < self._share]
        # Of those with equally few places the one that has waited longest: min keeps the order.
        return min(able, key=lambda one: taken[self._waiting[one]], default=None)
