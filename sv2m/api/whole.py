# SPDX-License-Identifier: Apache-2.0
"""Requests reach the application when they are there, and so many at a time.

Whoever sends his request a byte now and then so takes nobody's turn; how long he may take, the server's door says.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable
from typing import Any

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Whole:
    """WSGI middleware, in front of everything else.

    :param at_a_time: requests that the application answers at the same time.
    :param largest: bytes of the largest body; of a larger one the application sees that it is.
    :param heard: name, in the environ, of what is called when a request is there.
    """

    def __init__(self, application: WSGIApplication, at_a_time: int, largest: int, heard: str) -> None:
        self._application = application
        self._turns = threading.BoundedSemaphore(at_a_time)
        self._largest = largest
        self._heard = heard

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request; see PEP 3333."""
        if not self._take_in(environ):
            # Whoever sent it has gone, or was sent away.
            start_response("400 Bad Request", [("Content-Length", "0")])
            return []
        if self._heard in environ:
            environ[self._heard]()
        with self._turns:
            return self._application(environ, start_response)

    def _take_in(self, environ: dict[str, Any]) -> bool:
        """Read the body, unless it is refused unread; whether it is there."""
        try:
            length = int(environ.get("CONTENT_LENGTH") or 0)
        except ValueError:
            return True
        if length < 0:
            return False
        if length > self._largest:
            return True
        try:
            body = environ["wsgi.input"].read(length if environ.get("CONTENT_LENGTH") else self._largest + 1)
        except (ValueError, OSError):
            # Chunks that are none, or somebody who has gone.
            return False
        environ["wsgi.input"] = io.BytesIO(body)
        return len(body) >= length
