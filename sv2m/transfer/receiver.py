# SPDX-License-Identifier: Apache-2.0
"""B's data endpoint.

One port for all migrations of a host. A connection without the right ticket is closed at once.
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass

from oslo_log import log

from sv2m.errors import Conflict, HostError, MalformedMessage
from sv2m.transfer import wire
from sv2m.transfer.session import Session

LOG = log.getLogger(__name__)


@dataclass(frozen=True)
class ReceiverOptions:
    """How the endpoint behaves.

    :param max_connections: connections held at once; when there are more, the oldest of those that have not shown
        a ticket makes way.
    :param hello_timeout: seconds that a connection has to show one.
    :param stall_timeout: seconds after which a connection that stops inside a segment is broken.
    :param sign_of_life: seconds between two signs of life while a segment is stored: a third of the least
        stall_timeout that a peer may have.
    """

    max_connections: int = 64
    hello_timeout: float = 10.0
    stall_timeout: float = 60.0
    sign_of_life: float = 5.0


class Receiver:
    """Listens, and gives each connection to the session that its ticket names.

    :param listen: address and port; port 0 takes any free one.
    """

    def __init__(self, listen: tuple[str, int], options: ReceiverOptions | None = None) -> None:
        self._listen = listen
        self._options = options or ReceiverOptions()
        self._listener: socket.socket | None = None
        self._sessions: dict[str, Session] = {}
        #: In the order in which they came; True for those that have shown a ticket.
        self._connections: dict[socket.socket, bool] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self._listener is None:
            raise HostError("the data endpoint has not been started")
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Listen. :raises HostError: the address or port cannot be had."""
        try:
            self._listener = socket.create_server(self._listen, backlog=128)
        except OSError as error:
            host, port = self._listen
            raise HostError(f"the data endpoint cannot listen on {host}:{port}: {error}") from error
        self._stopping = False
        self._thread = threading.Thread(target=self._accept, name="data-endpoint", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and break every connection off."""
        self._stopping = True
        if self._listener is not None:
            wire.shut(self._listener)
            self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for sock in connections:
            wire.shut(sock)
        if self._thread is not None:
            self._thread.join(5)

    def expect(self, session: Session) -> None:
        """Let this migration's connections in. :raises Conflict: they are expected already."""
        with self._lock:
            if session.migration_id in self._sessions:
                raise Conflict(f"data of migration {session.migration_id} is expected already")
            self._sessions[session.migration_id] = session

    def forget(self, migration_id: str) -> None:
        """Let no more connections of this migration in, and end those there are."""
        with self._lock:
            session = self._sessions.pop(migration_id, None)
        if session is not None:
            session.end()

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None and not self._stopping:
            try:
                sock, peer = listener.accept()
            except OSError as error:
                if not self._stopping:
                    LOG.warning("the data endpoint: %s", error)
                    # Out of file descriptors, most likely: let some connection end first.
                    threading.Event().wait(0.2)
                continue
            if not self._let_in(sock):
                LOG.warning("a data connection from %s was closed: there are enough with tickets", peer[0])
                sock.close()
                continue
            threading.Thread(target=self._talk, args=(sock, peer), name="data-connection", daemon=True).start()

    def _let_in(self, sock: socket.socket) -> bool:
        """Whether there is room. Strangers may take all of it, but each only until the next one comes."""
        with self._lock:
            if len(self._connections) >= self._options.max_connections:
                oldest = next((one for one, admitted in self._connections.items() if not admitted), None)
                if oldest is None:
                    return False
                del self._connections[oldest]
                wire.shut(oldest)
            self._connections[sock] = False
        return True

    def _talk(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        try:
            wire.tune(sock, self._options.stall_timeout, unsent=True)
            hello = wire.read_hello(sock, self._options.hello_timeout)
            with self._lock:
                session = self._sessions.get(hello.migration_id)
            if session is None or not session.admit(hello, sock):
                # One answer to every wrong ticket, which is none: nothing tells whether a migration exists.
                LOG.warning("a data connection from %s without a valid ticket was closed", peer[0])
                return
            with self._lock:
                if sock in self._connections:
                    self._connections[sock] = True
            session.serve(sock, hello.connection, self._options.stall_timeout, self._options.sign_of_life)
        except (OSError, MalformedMessage) as error:
            LOG.info("a data connection from %s: %s", peer[0], error)
        finally:
            with self._lock:
                self._connections.pop(sock, None)
            sock.close()
