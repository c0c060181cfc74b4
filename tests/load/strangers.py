# SPDX-License-Identifier: Apache-2.0
"""Peers that nobody knows: they connect, say nonsense or nothing, and hold on as long as they are let."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

#: Seconds that a stranger holds a connection, unless it is ended before.
_HOLD = 3.0
_HEAD = b'<sv2m:Transfer xmlns:sv2m="urn:sv2m:1" MigrationId="6f1c1a9e-3c6e-4d52-9d5f-0a4a2e6f7b11" Version="1">'

Visit = Callable[[socket.socket, threading.Event], None]


def _tls(sock: socket.socket) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(sock)


def _post(length: int) -> bytes:
    return b"POST /v1/messages HTTP/1.1\r\nHost: b\r\nContent-Length: %d\r\n\r\n" % length


def silence(sock: socket.socket, over: threading.Event) -> None:
    """Says nothing at all."""
    over.wait(_HOLD)


def noise(sock: socket.socket, over: threading.Event) -> None:
    """Says anything."""
    sock.sendall(os.urandom(4096))
    over.wait(_HOLD / 3)


def plain(sock: socket.socket, over: threading.Event) -> None:
    """Speaks HTTP without TLS."""
    sock.sendall(_post(5) + b"hello")
    sock.recv(1000)


def half_handshake(sock: socket.socket, over: threading.Event) -> None:
    """Begins a handshake and never ends it."""
    sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    over.wait(_HOLD)


def reset(sock: socket.socket, over: threading.Event) -> None:
    """Goes away by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_header(sock: socket.socket, over: threading.Event) -> None:
    """Lets a header trickle."""
    with _tls(sock) as secured:
        secured.sendall(b"POST /v1/messages HTTP/1.1\r\n")
        for number in itertools.count():
            if over.wait(0.3) or number > _HOLD / 0.3:
                return
            secured.sendall(b"X-%d: y\r\n" % number)


def long_header(sock: socket.socket, over: threading.Event) -> None:
    """Sends a header without end."""
    with _tls(sock) as secured:
        secured.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * (1 << 20))
        secured.recv(1000)


def half_body(sock: socket.socket, over: threading.Event) -> None:
    """Promises the largest document there is, and sends a part."""
    with _tls(sock) as secured:
        secured.sendall(_post(28 << 20) + _HEAD + bytes(256 << 10))
        over.wait(_HOLD)


def nonsense(sock: socket.socket, over: threading.Event) -> None:
    """Sends a document that is none."""
    with _tls(sock) as secured:
        secured.sendall(_post(2000) + bytes(2000))
        secured.recv(1000)


def chunks(sock: socket.socket, over: threading.Event) -> None:
    """Sends chunks without end."""
    with _tls(sock) as secured:
        secured.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(16):
            secured.sendall(b"10000\r\n" + bytes(1 << 16) + b"\r\n")


#: What a gateway hears, and what a data endpoint.
TO_A_GATEWAY: Sequence[Visit] = (
    silence, silence, noise, plain, half_handshake, reset, half_header, long_header, half_body, nonsense, chunks,
)  # fmt: skip
TO_A_DATA_ENDPOINT: Sequence[Visit] = (silence, silence, noise, plain, half_handshake, reset)


class Strangers:
    """So many of them, until :meth:`stop`; each comes again as soon as it was sent away.

    :param visits: the most that all of them try together.
    :param network: the network from which they come, entered by each thread.
    """

    def __init__(
        self,
        port: int,
        manners: Sequence[Visit],
        count: int = 200,
        visits: int = 20_000,
        *,
        address: str = "127.0.0.1",
        network: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._endpoint = (address, port)
        self._network = network
        self._manners = manners
        self._over = threading.Event()
        self._left = itertools.count(visits, -1)
        #: Of each stranger, how often his connection came about: written by his own thread only.
        self._came = [0] * count
        self._then = [0] * count
        self._threads = [threading.Thread(target=self._knock, args=(number,)) for number in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def visits(self) -> int:
        """Connections that came about, to a listener that is there."""
        return sum(self._came)

    @property
    def visitors(self) -> int:
        """Strangers who have been connected, since :meth:`start` or the last :meth:`count_anew`."""
        return sum(now > then for now, then in zip(self._came, self._then, strict=True))

    def count_anew(self) -> None:
        """From now on :attr:`visitors` are those who come from now on."""
        self._then = list(self._came)

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _knock(self, number: int) -> None:
        rng = random.Random(number)
        with self._network():
            while not self._over.is_set() and next(self._left) > 0:
                with contextlib.suppress(OSError), socket.create_connection(self._endpoint, 5) as sock:
                    self._came[number] += 1
                    sock.settimeout(5)
                    rng.choice(self._manners)(sock, self._over)
                self._over.wait(0.05)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def most_resident(pid: int) -> int:
    """The most that it had since :func:`forget_most`, as the kernel has kept count of it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))


def forget_most(pid: int) -> None:
    """Begin anew with :func:`most_resident`."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descriptors(pid: int) -> int:
    """Files and sockets that it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """Its threads."""
    return len(os.listdir(f"/proc/{pid}/task"))
