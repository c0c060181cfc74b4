# SPDX-License-Identifier: Apache-2.0
"""The bytes on a data connection that are not segments. Integers are big-endian.

====================  =========  ==================================================================
what                  direction  layout
====================  =========  ==================================================================
hello                 A to B     magic "SV2M", version u16, migration id 16 bytes, connection number
                                 u32, ticket 32 bytes
welcome               B to A     magic, version, then a mark: the last segment that B has confirmed; before
                                 it signs of life, if B still stores a segment of a former connection
frame                 A to B     stream u32, index u64, length u32, and the segment
mark                  B to A     stream u32, index u64, 0: this segment and all sent before it are
                                 verified and stored. Stream 2^32-1: none yet. Stream 2^32-2: B has
                                 given up, for good. Stream 2^32-3: a sign of life, B is storing something
====================  =========  ==================================================================

None of this is believed: a forged mark or hello can at most make the migration fail, since the manifest that
A signs must match every segment, and B opens a segment before it uses a byte of it. Nor does a changed bit end
the migration: what cannot be, at either end, ends the connection, and is sent again on the next one.
"""

from __future__ import annotations

import hmac
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sv2m.errors import MalformedMessage
from sv2m.protocol.reach import Reach
from sv2m.protocol.segments import FRAME

MAGIC = b"SV2M"
VERSION = 1
TICKET_BYTES = 32
#: Stream numbers that no plan may use.
NOTHING_YET = 0xFFFFFFFF
GIVEN_UP = 0xFFFFFFFE
STORING = 0xFFFFFFFD

_HELLO = struct.Struct(f"!4sH16sI{TICKET_BYTES}s")
_WELCOME = struct.Struct("!4sH")


@dataclass(frozen=True)
class Hello:
    """The first bytes of a connection."""

    migration_id: str
    connection: int
    ticket: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return _HELLO.pack(MAGIC, VERSION, UUID(self.migration_id).bytes, self.connection, self.ticket)

    def has(self, ticket: bytes) -> bool:
        """Compare tickets in constant time: a stranger must not learn one byte by byte."""
        return hmac.compare_digest(self.ticket, ticket)


@dataclass(frozen=True)
class Mark:
    """How far B is."""

    stream: int
    index: int

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return FRAME.pack(self.stream, self.index, 0)


def read_hello(sock: socket.socket, timeout: float) -> Hello:
    """Read a hello that must be complete within ``timeout`` seconds, however slowly it trickles.

    :raises MalformedMessage: these are not the bytes of a hello. :raises OSError: the connection broke.
    """
    content = bytearray(_HELLO.size)
    view = memoryview(content)
    deadline = time.monotonic() + timeout
    while view:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        received = sock.recv_into(view)
        if not received:
            raise ConnectionResetError("the peer closed the data connection")
        view = view[received:]
    magic, version, migration_id, connection, ticket = _HELLO.unpack(content)
    if magic != MAGIC or version != VERSION:
        raise MalformedMessage("this is not an SV2M data connection of version 1")
    return Hello(str(UUID(bytes=migration_id)), connection, ticket)


def greeting() -> bytes:
    """B's answer to a hello whose ticket it knows: a welcome, as far as its mark."""
    return _WELCOME.pack(MAGIC, VERSION)


def welcome(mark: Mark) -> bytes:
    """The whole of it."""
    return greeting() + mark.encode()


def read_welcome(sock: socket.socket, storing: Callable[[], None] = lambda: None) -> Mark:
    """The mark of a welcome.

    :param storing: called for each sign of life; may raise what ends the waiting.
    :raises MalformedMessage: not the bytes of a welcome. :raises OSError: the connection broke.
    """
    magic, version = _WELCOME.unpack(_exactly(sock, _WELCOME.size))
    if magic != MAGIC or version != VERSION:
        raise MalformedMessage("the data endpoint does not speak version 1 of SV2M")
    while (mark := read_mark(sock)).stream == STORING:
        storing()
    return mark


def read_mark(sock: socket.socket) -> Mark:
    """:raises MalformedMessage: not a mark. :raises OSError: the connection broke."""
    return _mark(_exactly(sock, FRAME.size))


def _mark(content: bytes | bytearray) -> Mark:
    stream, index, length = FRAME.unpack(content)
    if length:
        raise MalformedMessage("the data endpoint sent a frame, and only the source sends those")
    return Mark(stream, index)


class MarkReader:
    """Reads marks as they come, and never waits longer than it is told: not for the rest of a mark either."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._content = bytearray()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def read(self, timeout: float) -> Mark | None:
        """The next mark; None if there was no whole one for ``timeout`` seconds.

        :raises MalformedMessage: not a mark. :raises OSError: the connection broke.
        """
        deadline = time.monotonic() + timeout
        while len(self._content) < FRAME.size:
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return None
            piece = self._sock.recv(FRAME.size - len(self._content))
            if not piece:
                raise ConnectionResetError("the peer closed the data connection")
            self._content += piece
        content, self._content = self._content, bytearray()
        return _mark(content)


def read_into(sock: socket.socket, view: memoryview, seconds: float | None = None) -> None:
    """Fill ``view``.

    :param seconds: for all of it, however slowly it trickles; None for as long as it takes.
    :raises OSError: the connection ended before, or time did.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while view:
        sock.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
        received = sock.recv_into(view)
        if not received:
            raise ConnectionResetError("the peer closed the data connection")
        view = view[received:]


def _exactly(sock: socket.socket, length: int) -> bytes:
    """So many bytes, each piece within the timeout that the socket has."""
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        received = sock.recv_into(view)
        if not received:
            raise ConnectionResetError("the peer closed the data connection")
        view = view[received:]
    return bytes(buffer)


def drain(sock: socket.socket, timeout: float) -> None:
    """Say no more, and throw away what still comes, so that closing does not reset the connection.

    A reset would destroy what the other end has not read yet.
    """
    sock.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + timeout
    scrap = bytearray(1 << 16)
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        if not sock.recv_into(scrap):
            return


def connect(endpoint: tuple[str, int], reach: Reach, timeout: float) -> socket.socket:
    """Connect to an endpoint, at the first of its addresses that is allowed and answers.

    The name is resolved here and nowhere later: what is connected to is the address that was judged.

    :param timeout: seconds, for each address.
    :raises PeerError: none of its addresses is allowed. :raises OSError: it has none, or none answers.
    """
    host, port = endpoint
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed = [(family, address) for family, _, _, _, address in found if reach.allows(str(address[0]))]
    if not allowed:
        raise reach.refusal(host)
    for number, (family, address) in enumerate(allowed, start=1):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(address)
        except OSError:
            sock.close()
            if number == len(allowed):
                raise
        else:
            return sock
    raise OSError(f"{host} has no address")


def tune(sock: socket.socket, stall_timeout: float, unsent: bool) -> None:
    """Find out within ``stall_timeout`` seconds that the other end has vanished while nothing is sent.

    :param unsent: also while something is, and the other end takes nothing. Not for A, whose own look at B's signs of
        life tells more: the kernel would break off the connection of a destination that honestly stores.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    probe = max(1, int(stall_timeout / 4))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    if unsent:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall_timeout * 1000))


def shut(sock: socket.socket) -> None:
    """Break a connection off, so that a thread that waits for it wakes up."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is broken already
