# SPDX-License-Identifier: Apache-2.0
"""One HTTP request and its whole answer, in a time that the other side cannot stretch.

A timeout of requests is for each read: whoever sends a byte now and then never meets it. So here a clock runs from
before the first connection to the answer's last byte, and when it has run out the connection is shut down under
whatever waits for it: connecting, TLS's handshake, the request, the headers or the body. Only the resolver, which has
a limit of its own (resolv.conf(5)), is not cut off.

Proxies, netrc and CA bundles of the environment are not looked at, and no redirection is followed: what is asked is
who was named, and nobody else. Nothing is imported here but what nova-api has, too: its filter uses this.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import requests
import requests.adapters
import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions


@dataclass(frozen=True)
class Reply:
    """What was answered.

    :param body: as much of it as was wanted, and one byte more where there is more.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    method: str,
    url: str,
    *,
    within: float,
    limit: int,
    context: ssl.SSLContext | None = None,
    verify: str | bool = True,
    **request: Any,
) -> Reply:
    """Send one request and read its answer.

    :param within: seconds for all of it.
    :param limit: bytes of the body that the caller takes; one more is read, by which a larger one shows.
    :param context: TLS as the caller wants it; None leaves it to requests.
    :param verify: as for ``requests``: whether, and by which CA bundle, the server's certificate is checked.
    :param request: as for ``requests``: data, json, headers, auth.
    :raises requests.Timeout: there was no whole answer in time.
    :raises requests.exceptions.SSLError: TLS failed, by the server's certificate for instance.
    :raises requests.RequestException: there was no answer, or nothing that is one.
    """
    with _Clock(within) as clock, _Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(clock, context))
        try:
            answer = session.request(
                method, url, timeout=within, verify=verify, allow_redirects=False, stream=True, **request
            )
            body = answer.raw.read(limit + 1, decode_content=True)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            clock.check(error)
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(f"the answer breaks off: {type(error).__name__}") from error
        # An answer without a length ends where its connection does, and that may have been us.
        clock.check(None)
        return Reply(answer.status_code, answer.headers, body)


class _Clock:
    """The clock: when it has run out, the connection is shut down."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._over = False
        #: Another descriptor of each connection: TLS takes the first one away, and its number may be somebody else's
        #: by the time that we shut it down.
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> _Clock:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        with self._lock:
            for sock in self._sockets:
                sock.close()
            self._sockets.clear()

    def check(self, cause: Exception | None) -> None:
        """:raises requests.Timeout: the time is over."""
        if self._over or time.monotonic() >= self._end:
            raise requests.Timeout(f"no whole answer within {self._seconds:g} s") from cause

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first of a host's addresses that takes one.

        :raises OSError: none does, in the time that is left.
        """
        failed: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self._left())
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._watch(sock)
            except OSError as error:
                sock.close()
                failed = error
            else:
                return sock
        raise failed or OSError(f"{host} has no address")

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time is left")
        return left

    def _watch(self, sock: socket.socket) -> None:
        with self._lock:
            if self._over:
                raise TimeoutError("no time is left")
            self._sockets.append(sock.dup())

    def _cut(self) -> None:
        with self._lock:
            self._over = True
            for sock in self._sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side was quicker


class _Session(requests.Session):
    """A session that knows nothing of its surroundings."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere. Not following one, requests would still read its body, to the end that never comes."""
        return


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' way to urllib3, with connections on which the clock has an eye."""

    def __init__(self, clock: _Clock, context: ssl.SSLContext | None) -> None:
        self._clock = clock
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See requests."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._clock)


def _pools(clock: _Clock) -> dict[str, type]:
    """urllib3's pools by scheme, whose connections are made by the clock."""

    class Plain(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, clock)

    class Secure(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, clock)

    class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connected(connection: Any, clock: _Clock) -> socket.socket:
    try:
        return clock.connect(connection.host, connection.port)
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, f"cannot connect: {error}") from error
