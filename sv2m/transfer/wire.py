# SPDX-License-Identifier: Apache-2.0
"""The bytes on a data connection that are not segments. Integers are big-endian.

====================  =========  ==================================================================
what                  direction  layout
====================  =========  ==================================================================
hello                 A to B     magic "SV2M", version u16, migration id 16 bytes, connection number
                                 u32, ticket 32 bytes
welcome               B to A     magic, version, then a mark: the last segment that B has confirmed
frame                 A to B     stream u32, index u64, length u32, and the segment
mark                  B to A     stream u32, index u64, 0: this segment and all sent before it are
                                 verified and stored. Stream 2^32-1: none yet. Stream 2^32-2: B has
                                 given up, for good
====================  =========  ==================================================================

None of this is believed: a forged mark or hello can at most make the migration fail, since the manifest that
A signs must match every segment, and B opens a segment before it uses a byte of it.
"""

from __future__ import annotations

import hmac
import socket
import struct
import time
from dataclasses import dataclass
from uuid import UUID

from sv2m.errors import MalformedMessage
from sv2m.protocol.segments import FRAME

MAGIC = b"SV2M"
VERSION = 1
TICKET_BYTES = 32
#: Stream numbers that no plan may use.
NOTHING_YET = 0xFFFFFFFF
GIVEN_UP = 0xFFFFFFFE

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


def welcome(mark: Mark) -> bytes:
    """B's answer to a hello whose ticket it knows."""
    return _WELCOME.pack(MAGIC, VERSION) + mark.encode()


def read_welcome(sock: socket.socket) -> Mark:
    """:raises MalformedMessage: not the bytes of a welcome. :raises OSError: the connection broke."""
    magic, version = _WELCOME.unpack(_exactly(sock, _WELCOME.size))
    if magic != MAGIC or version != VERSION:
        raise MalformedMessage("the data endpoint does not speak version 1 of SV2M")
    return read_mark(sock)


def read_mark(sock: socket.socket) -> Mark:
    """:raises MalformedMessage: not a mark. :raises OSError: the connection broke."""
    stream, index, length = FRAME.unpack(_exactly(sock, FRAME.size))
    if length:
        raise MalformedMessage("the data endpoint sent a frame, and only the source sends those")
    return Mark(stream, index)


def read_into(sock: socket.socket, view: memoryview) -> None:
    """Fill ``view``. :raises ConnectionError: the connection ended before."""
    while view:
        received = sock.recv_into(view)
        if not received:
            raise ConnectionResetError("the peer closed the data connection")
        view = view[received:]


def _exactly(sock: socket.socket, length: int) -> bytes:
    buffer = bytearray(length)
    read_into(sock, memoryview(buffer))
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


def tune(sock: socket.socket, stall_timeout: float) -> None:
    """Find out within ``stall_timeout`` seconds that the other end has vanished, idle or not."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    probe = max(1, int(stall_timeout / 4))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, probe)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall_timeout * 1000))


def shut(sock: socket.socket) -> None:
    """Break a connection off, so that a thread that waits for it wakes up."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is broken already
