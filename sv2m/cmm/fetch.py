# SPDX-License-Identifier: Apache-2.0
"""Fetching a document from a place that the operator named."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import requests

from sv2m import errors, exchange

#: Seconds that a fetch is waited for where an earlier one gave something, on which the caller can fall back.
_PATIENCE = 1.0
#: Seconds in which what such a fetch came to, too late or not at all, is the answer to whoever asks next.
_GOOD_FOR = 30.0


@dataclass(frozen=True)
class _Fetching:
    begun: float
    body: Future[bytes]


class HttpFetch:
    """Implements :data:`sv2m.cmm.ports.Fetch`.

    Each fetch has a thread of its own, and those who ask for the same meanwhile wait for the same. Where there was an
    answer before, nobody waits longer than a moment: who is on the way to a place must not decide how long a guest
    stands still. What comes later is for who asks next.

    :param timeout: seconds for a whole answer.
    :param patience: seconds to wait for one where there was one before.
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
        :raises sv2m.errors.ServiceUnavailable: it cannot be had, or not in a moment where it was had before.
        """
        with self._lock:
            known = url in self._answered
            fetching = self._fetching.get(url)
            if fetching is None or (fetching.body.done() and self._clock() - fetching.begun > _GOOD_FOR):
                fetching = self._fetching[url] = self._begin(url, limit)
        try:
            body = fetching.body.result(self._patience if known else None)
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

    def _begin(self, url: str, limit: int) -> _Fetching:
        body: Future[bytes] = Future()
        threading.Thread(target=self._run, args=(url, limit, body), name="fetch", daemon=True).start()
        return _Fetching(self._clock(), body)

    def _run(self, url: str, limit: int, body: Future[bytes]) -> None:
        try:
            fetched = _fetch(url, limit, self._timeout)
        except BaseException as error:
            body.set_exception(error)
            return
        with self._lock:
            self._answered.add(url)
        body.set_result(fetched)

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
