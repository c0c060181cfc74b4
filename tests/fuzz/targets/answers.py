# SPDX-License-Identifier: Apache-2.0
"""HTTP answers that a server, an EST server or a peer's gateway, could give to requests."""

from __future__ import annotations

import functools
import io
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

Parsed = tuple[int, dict[str, str], bytes]


class _Adapter(HTTPAdapter):
    """Gives one answer to everything."""

    def __init__(self, answer: Parsed) -> None:
        super().__init__()
        self._answer = answer

    def send(self, request: Any, **_: Any) -> requests.Response:
        status, headers, body = self._answer
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(body), headers=headers, status=status, preload_content=False, request_method=request.method
        )
        return self.build_response(request, raw)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@contextmanager
def answering(answer: Parsed) -> Iterator[None]:
    """Every session gets this answer; nothing is sent, so one TLS context, which takes long to make, does for all."""
    adapter, tls = _Adapter(answer), _tls()
    before = requests.Session.get_adapter, ssl.create_default_context
    requests.Session.get_adapter = lambda self, url: adapter  # type: ignore[method-assign, assignment, return-value]
    ssl.create_default_context = lambda *_, **__: tls
    try:
        yield
    finally:
        requests.Session.get_adapter, ssl.create_default_context = before  # type: ignore[method-assign]


def parse(data: bytes) -> Parsed:
    """Status, a line per header, an empty line, the body."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    status = int(first) if first.isascii() and first.isdigit() and 100 <= int(first[:4]) < 600 else 200
    headers = {}
    for line in lines[:8]:
        name, colon, value = line.partition(": ")
        if colon:
            headers[name] = value
    return status, headers, body
