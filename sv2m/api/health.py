# SPDX-License-Identifier: Apache-2.0
"""``GET /healthcheck``: whether a load balancer may send requests here.

The file of oslo.middleware's health check takes the API out by hand, as in every service. Beyond it this asks what the
API cannot do without, so that one which is blind is taken out by itself. Nobody needs a token for it: the answer names
what is away and says nothing about it.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping
from http import HTTPStatus

import webob
from oslo_log import log
from webob.dec import wsgify

LOG = log.getLogger(__name__)

#: Seconds that all of them have together. Load balancers give up after five or ten.
PATIENCE = 4.0


class Health:
    """The health check as a WSGI application.

    :param file: oslo.middleware's, which answers 503 where an operator took the API out.
    :param backends: what asks each, by its name; it raises if it does not answer.
    """

    def __init__(
        self, file: Callable[..., object], backends: Mapping[str, Callable[[], None]], patience: float = PATIENCE
    ) -> None:
        self._file = file
        self._backends = backends
        self._patience = patience
        # As many as there are: one that hangs keeps the others from nothing.
        self._pool = concurrent.futures.ThreadPoolExecutor(max(1, len(backends)), thread_name_prefix="health")
        self._asked: dict[str, concurrent.futures.Future[None]] = {}

    @wsgify
    def __call__(self, request: webob.Request) -> webob.Response:
        """Answer one request."""
        response = request.get_response(self._file)
        if response.status_int != HTTPStatus.OK:
            return response
        away = self._away()
        if not away:
            return response
        return webob.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, json={"away": away})

    def _away(self) -> list[str]:
        asked = {name: self._ask(name) for name in self._backends}
        concurrent.futures.wait(asked.values(), self._patience)
        away = []
        for name, answer in asked.items():
            error = answer.exception() if answer.done() else TimeoutError(f"no answer in {self._patience:.0f} s")
            if error is not None:
                LOG.warning("The %s is away: %s", name, error)
                away.append(name)
        return away

    def _ask(self, name: str) -> concurrent.futures.Future[None]:
        """Ask once at a time: a question that hangs is waited for again, not asked again."""
        asked = self._asked.get(name)
        if asked is None or asked.done():
            asked = self._asked[name] = self._pool.submit(self._backends[name])
        return asked
