# SPDX-License-Identifier: Apache-2.0
"""Fetching a document from a place that the operator named."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import requests

from sv2m import errors, exchange

#: Seconds that whoever cannot wait waits, where an earlier fetch gave something on which they can fall back.
_PATIENCE = 1.0
#: Seconds in which what a fetch came to, a failure included, is the answer to whoever asks next.
_GOOD_FOR = 30.0
#: The same of what came too late, for whoever cannot wait for anything newer. The next to ask so may come much later.
_GOOD_ENOUGH_FOR = 3600.0


@dataclass
class _Fetching:
    """A fetch, under way or over; ``ended`` by the clock."""

    body: Future[bytes] = field(default_factory=Future)
    ended: float | None = None

    def is_answer(self, now: float, *, brief: bool) -> bool:
        """Whether it is to be waited for, or what it came to is good still."""
        if self.ended is None:
            return True
        came = brief and self.body.exception() is None
        return now - self.ended <= (_GOOD_ENOUGH_FOR if came else _GOOD_FOR)


class HttpFetch:
    """Implements :data:`sv2m.cmm.ports.Fetch`.

    Each fetch has a thread of its own, and those who ask for the same meanwhile wait for the same, until it has come or
    its time is over. :meth:`briefly` is for those whom nobody may keep waiting: whoever is on the way to a place must
    not decide how long a guest stands still. What comes later is for who asks next.

    :param timeout: seconds for a whole answer.
    :param patience: seconds to wait briefly for one where there was one before.
    :param clock: seconds that only grow.
    """

    def __init__(
        self, timeout: float, *, patience: float = _PATIENCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._timeout = timeout
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._fetching: dict[str, _Fetching] = {}
        #: Where there was an answer before.
        self._answered: set[str] = set()

    def __call__(self, url: str, limit: int) -> bytes:
        """The body at ``url``.

        :param limit: bytes; a larger body is refused.
        :raises sv2m.errors.ServiceUnavailable: it cannot be had.
        """
        return self._ask(url, limit, brief=False)

    def briefly(self, url: str, limit: int) -> bytes:
        """The same, of a place that has answered before only if it is there in a moment, or came too late last time.

        :raises sv2m.errors.ServiceUnavailable: it cannot be had, or not now.
        """
        with self._lock:
            known = url in self._answered
        return self._ask(url, limit, brief=known)

    def _ask(self, url: str, limit: int, *, brief: bool) -> bytes:
        with self._lock:
            known = url in self._answered
            fetching = self._fetching.get(url)
            if fetching is None or not fetching.is_answer(self._clock(), brief=brief):
                fetching = self._fetching[url] = _Fetching()
                threading.Thread(target=self._run, args=(url, limit, fetching), name="fetch", daemon=True).start()
        try:
            body = fetching.body.result(self._patience if brief else None)
        except TimeoutError as error:
            raise errors.ServiceUnavailable(
                f"{url} has not answered within {self._patience:g} s; it may yet, and is not waited for"
            ) from error
        except errors.SV2MError:
            if not known:
                self._forget(url, fetching)
            raise
        self._forget(url, fetching)
        return body

    def _run(self, url: str, limit: int, fetching: _Fetching) -> None:
        try:
            fetched = _fetch(url, limit, self._timeout)
        except BaseException as error:
            fetching.body.set_exception(error)
        else:
            with self._lock:
                self._answered.add(url)
            fetching.body.set_result(fetched)
        with self._lock:
            # After its result is there: what has ended is looked at.
            fetching.ended = self._clock()

    def _forget(self, url: str, fetching: _Fetching) -> None:
        with self._lock:
            if self._fetching.get(url) is fetching:
                del self._fetching[url]


def _fetch(url: str, limit: int, timeout: float) -> bytes:
    try:
        reply = exchange.ask("GET", url, within=timeout, limit=limit)
    except requests.RequestException as error:
        raise errors.ServiceUnavailable(f"{url} does not answer: {type(error).__name__}") from error
    if reply.status != 200:
        raise errors.ServiceUnavailable(f"{url} answers HTTP {reply.status}")
    if len(reply.body) > limit:
        raise errors.ServiceUnavailable(f"{url} is larger than {limit} bytes")
    return reply.body
