# SPDX-License-Identifier: Apache-2.0
"""A server on the loopback that answers a byte now and then, for as long as anybody listens."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Seconds from one byte to the next: far less than any timeout for a single read.
PAUSE = 0.02
_END = b"\r\n\r\n"

#: How an answer never ends, by name: what is said, a piece at a time.
ENDLESS: dict[str, Callable[[], Iterable[bytes]]] = {
    "silence": lambda: itertools.repeat(b""),
    "a header": lambda: itertools.chain([b"HTTP/1.1 200 OK\r\nX-Long: "], itertools.repeat(b"x")),
    "headers": lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"")),
    "interim answers": lambda: itertools.repeat(b"HTTP/1.1 100 Continue" + _END),
    "a body with a length": lambda: itertools.chain(
        [b"HTTP/1.1 200 OK\r\nContent-Length: 60000" + _END], itertools.repeat(b"x")
    ),
    "a body without a length": lambda: itertools.chain([b"HTTP/1.1 200 OK" + _END], itertools.repeat(b"x")),
    "chunks": lambda: itertools.chain(
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked" + _END], itertools.repeat(b"1\r\nx\r\n")
    ),
    "a redirection": lambda: itertools.chain(
        [b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 60000" + _END], itertools.repeat(b"x")
    ),
}
#: A record of TLS that says how long it is (RFC 8446, 5.1), and never comes to that.
_RECORD = b"\x16\x03\x03\x40\x00"


class Tarpit:
    """Where it listens, and how many are stuck."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.stop = threading.Event()
        self.threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self, serve: Callable[[socket.socket], None]) -> None:
        while not self.stop.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=(sock, serve)))
            self.threads[-1].start()

    def _serve(self, sock: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        with sock, suppress(OSError):
            serve(sock)

    def trickle(self, sock: socket.socket, pieces: Iterable[bytes]) -> None:
        """Say these, until told to stop or nobody listens."""
        for piece in pieces:
            if piece:
                sock.sendall(piece)
            if self.stop.wait(PAUSE):
                return


@contextmanager
def answering(endless: str, certificate: Path | None = None) -> Iterator[Tarpit]:
    """Answer every request so (:data:`ENDLESS`), or not even shake hands ("a handshake").

    :param certificate: PEM file of key and certificate; None speaks without TLS.
    """
    pit = Tarpit("http" if certificate is None else "https")

    def serve(sock: socket.socket) -> None:
        if endless == "a handshake":
            pit.trickle(sock, itertools.chain([_RECORD], itertools.repeat(b"\x00")))
            return
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            sock = context.wrap_socket(sock, server_side=True)
        with sock:
            sock.recv(1 << 16)
            pit.trickle(sock, ENDLESS[endless]())

    accepting = threading.Thread(target=pit.accept, args=(serve,))
    accepting.start()
    try:
        yield pit
    finally:
        pit.stop.set()
        pit.listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for thread in pit.threads:
            thread.join()
        pit.listener.close()
