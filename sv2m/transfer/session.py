# SPDX-License-Identifier: Apache-2.0
"""What B expects of one migration's data connections, and what it does with each segment.

A segment is opened, which checks its tag, before any of its bytes goes anywhere; then it is handed to the
sink; only then is it confirmed.

Until the tag is checked, whatever is wrong may be the network's fault: a bit that TCP's checksum misses, a packet
that somebody injected. It ends the connection, and A sends the segment again on the next one, a few times. What is
wrong with a segment that opens is A's own, and ends the session.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from oslo_log import log

from sv2m.errors import HostError, PeerError, SV2MError
from sv2m.protocol.plan import MAX_SEGMENTS
from sv2m.protocol.segments import FRAME, OVERHEAD, Opener, unpack_frame
from sv2m.transfer import wire
from sv2m.transfer.life import SignsOfLife

LOG = log.getLogger(__name__)

#: Connections of one migration, over its whole life. Each is used up by one break of the network.
MAX_CONNECTIONS = 100_000
#: Seconds that a source has to read that it is given up.
_FAREWELL = 2.0
#: How often in a row a segment may come spoilt before the session is given up.
_SPOILT = 3
#: Bytes per second of the slowest network that is taken for one: a segment may come no more slowly.
_SLOWEST = 16 << 10
#: Seconds without a segment after which there is time to make safe what was stored.
_QUIET = 1.0


@dataclass(frozen=True)
class StreamLimits:
    """What the plan allows a stream.

    :param segment_bytes: plaintext bytes of one segment at most.
    :param segments: how many of them at most. How much there is to do for one is the sink's to bound.
    """

    segment_bytes: int
    segments: int


class Spoilt(ConnectionError):
    """What came is not what was sent; it may come whole on another connection."""


class Sink(Protocol):
    """Takes verified plaintext. All methods are called by one thread at a time."""

    def consume(self, stream: int, index: int, plaintext: memoryview, digest: bytes) -> None:
        """Store one segment; the view is valid during the call only. Whatever it raises ends the session."""

    def quiet(self) -> None:
        """Nothing comes just now: called once for each such time. Whatever it raises ends the session."""

    def failed(self, error: SV2MError) -> None:
        """The session is over because of this; nothing more comes."""


class Session:
    """One migration at the receiving end.

    :param ticket: connection number -> ticket.
    :param streams: stream number -> its limits.
    """

    def __init__(
        self,
        migration_id: str,
        opener: Opener,
        ticket: Callable[[int], bytes],
        streams: Mapping[int, StreamLimits],
        sink: Sink,
    ) -> None:
        self.migration_id = migration_id
        self._opener = opener
        self._ticket = ticket
        self._streams = streams
        self._sink = sink
        largest = max(limits.segment_bytes for limits in streams.values())
        self._sealed = bytearray(largest + OVERHEAD)
        self._plaintext = bytearray(largest)
        self._next = dict.fromkeys(streams, 0)
        self._confirmed = wire.Mark(wire.NOTHING_YET, 0)
        self._newest = 0
        self._spoilt = 0
        self._socket: socket.socket | None = None
        self._state = threading.Lock()
        #: Held by the thread that reads the one live connection.
        self._turn = threading.Lock()
        self._over = False

    def admit(self, hello: wire.Hello, sock: socket.socket) -> bool:
        """Whether this connection may send. A ticket counts once, and ends every older connection."""
        with self._state:
            fresh = self._newest < hello.connection <= MAX_CONNECTIONS
            if self._over or not fresh or not hello.has(self._ticket(hello.connection)):
                return False
            self._newest = hello.connection
            former, self._socket = self._socket, sock
        if former is not None:
            wire.shut(former)
        return True

    def serve(self, sock: socket.socket, connection: int, stall_timeout: float, sign_of_life: float) -> None:
        """Read segments of an admitted connection until it ends. Runs in the connection's thread.

        :param stall_timeout: seconds that the source may stop inside a segment.
        :param sign_of_life: seconds between two signs of life while a segment is stored.
        """
        sock.sendall(wire.greeting())
        # The former connection's thread may be in the middle of a segment, whose fate decides where to go on.
        while not self._turn.acquire(timeout=sign_of_life):
            if self._over or connection != self._newest:
                return
            sock.sendall(wire.Mark(wire.STORING, 0).encode())
        life = SignsOfLife(sock, sign_of_life)
        try:
            if self._over or connection != self._newest:
                return
            life.say(self._confirmed)
            while not self._over:
                self._one(sock, stall_timeout, life)
        except Spoilt as error:
            LOG.warning("data connection %s of %s is ended: %s", connection, self.migration_id, error)
        except OSError as error:
            LOG.info("data connection %s of %s ended: %s", connection, self.migration_id, error)
        except SV2MError as error:
            self._give_up(sock, error)
        except Exception:
            LOG.exception("the receiver of %s failed", self.migration_id)
            self._give_up(sock, HostError("the destination's agent failed; its log has the details"))
        finally:
            life.end()
            self._turn.release()

    def end(self) -> None:
        """Take no more; returns when the last segment that was being stored is stored. From any other thread.

        Whoever calls this makes sure first that the sink does not block for ever.
        """
        with self._state:
            self._over = True
            sock = self._socket
        if sock is not None:
            wire.shut(sock)
        with self._turn:
            self._sealed = bytearray()
            self._plaintext[:] = bytes(len(self._plaintext))
            self._plaintext = bytearray()

    def _one(self, sock: socket.socket, stall_timeout: float, life: SignsOfLife) -> None:
        header = bytearray(FRAME.size)
        self._await_segment(sock, memoryview(header)[:1], stall_timeout, life)
        wire.read_into(sock, memoryview(header)[1:], stall_timeout)
        stream, index, length = FRAME.unpack(header)
        try:
            self._check_frame(stream, index, bytes(header))
            segment = memoryview(self._sealed)[:length]
            wire.read_into(sock, segment, stall_timeout + length / _SLOWEST)
            plain, digest = self._opener.open(stream, index, segment, memoryview(self._plaintext))
        except PeerError as error:
            self._spoilt += 1
            if self._spoilt > _SPOILT:
                raise
            raise Spoilt(f"{error}; it is asked for again") from error
        sock.settimeout(stall_timeout)
        with life.storing():
            self._sink.consume(stream, index, memoryview(self._plaintext)[:plain], digest)
        self._spoilt = 0
        self._next[stream] = index + 1
        self._confirmed = wire.Mark(stream, index)
        life.say(self._confirmed)

    def _await_segment(
        self, sock: socket.socket, first: memoryview, stall_timeout: float, life: SignsOfLife
    ) -> None:
        """Read a segment's first byte.

        Before it a source may think as long as it likes: TCP's keepalive tells whether it lives.
        """
        try:
            wire.read_into(sock, first, _QUIET)
        except TimeoutError:
            sock.settimeout(stall_timeout)
            with life.storing():
                self._sink.quiet()
            wire.read_into(sock, first)

    def _check_frame(self, stream: int, index: int, header: bytes) -> None:
        limits = self._streams.get(stream)
        if limits is None:
            raise PeerError(f"stream {stream} is not in the plan", code="not-planned")
        unpack_frame(header, limits.segment_bytes)
        if index != self._next[stream]:
            raise PeerError(f"segment {index} of stream {stream} came, {self._next[stream]} was due")
        if index >= limits.segments or sum(self._next.values()) >= MAX_SEGMENTS:
            raise PeerError(f"stream {stream} has more segments than planned", code="more-than-planned")

    def _give_up(self, sock: socket.socket, error: SV2MError) -> None:
        LOG.error("the transfer %s is given up: %s", self.migration_id, error)
        with self._state:
            already, self._over = self._over, True
        try:
            sock.settimeout(1.0)
            sock.sendall(wire.Mark(wire.GIVEN_UP, 0).encode())
            wire.drain(sock, _FAREWELL)
        except OSError as broken:
            LOG.debug("the source of %s could not be told: %s", self.migration_id, broken)
        if not already:
            self._sink.failed(error)
