# SPDX-License-Identifier: Apache-2.0
"""Who may stand at the door of a server of ours, for how long, and with how much.

Anybody may connect, so whatever a stranger can hold must be bounded and given to the next one. cheroot by itself
shakes hands in the thread that accepts, where one stranger who says nothing keeps everybody out. Here hands are shaken
in the thread that reads the request; each connection has a thread; and when there is no room for one more, the oldest
of those that have not yet said a whole message makes way. A peer's message takes a fraction of a second, so under a
flood it is strangers who are the oldest.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cheroot import wsgi
from cheroot.errors import FatalSSLAlert
from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection, HTTPServer
from cheroot.ssl import builtin

LOG = logging.getLogger(__name__)

#: Under these names the application finds in WSGI's environ what it must call, see :class:`Visitor`.
HOLD = "sv2m.hold"
HEARD = "sv2m.heard"


@dataclass(eq=False)
class Visitor:
    """One connection. ``held`` are the bytes of memory that its body takes."""

    sock: socket.socket
    since: float
    door: Door = field(repr=False)
    heard: bool = False
    held: int = 0

    def hold(self, size: int) -> None:
        """A body of this many bytes is going to be read; others may have to make way."""
        self.door.make_room(self, size)

    def hear(self) -> None:
        """A whole message was read: from here on it is ours how long this takes."""
        self.heard = True


class Door:
    """Keeps the connections of a server.

    :param places: connections at a time.
    :param memory: bytes of bodies that are being read at a time.
    :param longest: seconds in which a connection must have said a whole message.
    :param clock: seconds that only grow.
    """

    def __init__(
        self, places: int, memory: int, longest: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = places
        self._memory = memory
        self._longest = longest
        self._clock = clock
        self._visitors: dict[socket.socket, Visitor] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look for connections that take too long."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._watch, name="door", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def enter(self, sock: socket.socket) -> None:
        """A new connection; the oldest that has not said anything whole makes way where it must."""
        with self._lock:
            self._forget_closed()
            self._visitors[sock] = Visitor(sock, self._clock(), self)
            if len(self._visitors) > self._places:
                self._send_away([one for one in self._visitors.values() if one.sock is not sock])

    def visitor(self, sock: socket.socket) -> Visitor:
        """The connection behind a socket."""
        with self._lock:
            return self._visitors.get(sock) or Visitor(sock, self._clock(), self)

    def make_room(self, visitor: Visitor, size: int) -> None:
        """Let a body of this size be read; the oldest of those that are being read make way where they must."""
        with self._lock:
            self._forget_closed()
            visitor.held = size
            while sum(one.held for one in self._visitors.values()) > self._memory:
                if not self._send_away([one for one in self._visitors.values() if one.held and one is not visitor]):
                    return

    def look(self) -> None:
        """Send away who takes too long."""
        with self._lock:
            self._forget_closed()
            limit = self._clock() - self._longest
            for one in [one for one in self._visitors.values() if not one.heard and one.since < limit]:
                self._drop(one)

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            self.look()

    def _forget_closed(self) -> None:
        for sock in [sock for sock in self._visitors if sock.fileno() < 0]:
            del self._visitors[sock]

    def _send_away(self, among: list[Visitor]) -> bool:
        waiting = [one for one in among if not one.heard]
        if waiting:
            self._drop(min(waiting, key=lambda one: one.since))
        return bool(waiting)

    def _drop(self, visitor: Visitor) -> None:
        del self._visitors[visitor.sock]
        try:
            # Not SSLSocket's own: the thread that reads from it must find TLS as it was.
            socket.socket.shutdown(visitor.sock, socket.SHUT_RDWR)
        except OSError as error:
            LOG.debug("a connection was gone already: %s", error)


class Adapter(builtin.BuiltinSSLAdapter):
    """TLS for cheroot, with the handshake where the request is read.

    :param oldest: version of TLS that is spoken.
    """

    def __init__(
        self, certificate_file: str, private_key_file: str, oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> None:
        super().__init__(certificate_file, private_key_file)
        self.context.minimum_version = oldest

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        """A socket that shakes hands at the first read."""
        try:
            secured = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError as error:
            raise FatalSSLAlert(*error.args) from error
        return secured, {"wsgi.url_scheme": "https", "HTTPS": "on"}


def connection(door: Door) -> type:
    """cheroot's connection, which comes in by the door."""

    class Connection(HTTPConnection):
        """One connection, of which nothing was read yet."""

        def __init__(self, server: HTTPServer, sock: socket.socket, makefile: Any = MakeFile) -> None:
            door.enter(sock)
            super().__init__(server, sock, makefile)

    return Connection


def gateway(door: Door) -> type:
    """cheroot's WSGI gateway, which also tells the application about the connection."""

    class Gateway(wsgi.Gateway_10):
        """One request."""

        def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
            """See cheroot."""
            visitor = door.visitor(self.req.conn.socket)
            environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
            return {**environ, HOLD: visitor.hold, HEARD: visitor.hear}

    return Gateway
