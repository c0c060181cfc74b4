# SPDX-License-Identifier: Apache-2.0
"""A's end of the data channel.

When the connection breaks, a new one is made, with the next connection number and so with a ticket of its
own; B tells the last segment it confirmed, and what comes after it is sent again out of the window: the very
same ciphertext, never sealed a second time.

B may store a segment for long, and says so. What A waits for is bounded three times: a connection on which nothing
moves and nothing is said is broken; where B says nothing on several in a row, nothing gets through to it; and where B
only says that it lives, and confirms nothing, it hangs.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from oslo_log import log

from sv2m.errors import MalformedMessage, PeerError, PeerUnreachable, SV2MError
from sv2m.protocol.reach import Reach
from sv2m.protocol.segments import FRAME
from sv2m.transfer import wire
from sv2m.transfer.rate import TokenBucket
from sv2m.transfer.window import Sealed, Window

LOG = log.getLogger(__name__)

#: Seconds between two attempts: the first quickly, then with patience.
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
#: How often in a row B's words may be such as B cannot say, before it is believed that B says them.
_SPOILT = 3


@dataclass(frozen=True)
class SenderOptions:
    """How a sender behaves.

    :param segment_bytes: largest sealed segment of the plan, in bytes.
    :param window_bytes: sealed bytes kept until confirmed; at least two segments are kept.
    :param rate_limit: bytes per second, 0 for no limit.
    :param retry_seconds: how long a lost destination is tried again.
    :param stall_timeout: seconds after which a connection that does not move is broken.
    :param progress_timeout: seconds without a confirmed segment after which the destination is given up, whatever it
        says.
    :param reach: addresses to which it may connect.
    """

    segment_bytes: int
    window_bytes: int = 32 << 20
    rate_limit: int = 0
    retry_seconds: float = 120.0
    stall_timeout: float = 60.0
    progress_timeout: float = 900.0
    reach: Reach = field(default_factory=Reach)

    @property
    def answer_timeout(self) -> float:
        """Seconds without any word of the destination on connections that it welcomed: nothing gets through to it."""
        return self.retry_seconds + 2 * self.stall_timeout


class Sender:
    """Sends the segments of one migration, in the order in which they are submitted to its window.

    :param endpoint: host and port of B's data endpoint.
    :param ticket: connection number -> ticket.
    :param failed: called when nothing can be sent any more.
    """

    def __init__(
        self,
        endpoint: tuple[str, int],
        migration_id: str,
        ticket: Callable[[int], bytes],
        options: SenderOptions,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._endpoint = endpoint
        self._migration_id = migration_id
        self._ticket = ticket
        self._options = options
        count = max(2, options.window_bytes // options.segment_bytes)
        self.window = Window(options.segment_bytes, count, failed)
        self._closed = threading.Event()
        self._brake = TokenBucket(options.rate_limit, wait=self._closed.wait)
        self._connection = 0
        self._spoilt = 0
        #: Said to be so; believed when B lets no further connection in.
        self._given_up = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Connect, and begin to send. :raises PeerError: B cannot be reached, or does not know our ticket."""
        first = self._connect_patiently()
        self._thread = threading.Thread(target=self._run, args=(first,), name=f"send-{self._migration_id}", daemon=True)
        self._thread.start()

    def release_brake(self) -> None:
        """The guest stands still: send as fast as it goes."""
        self._brake.release()

    def close(self, error: SV2MError | None = None) -> None:
        """End at once; whoever waits for the window gets ``error``. From any thread, more than once."""
        self.window.fail(error or PeerError("the data channel was closed", code="aborted"))
        self._closed.set()
        with self._lock:
            if self._socket is not None:
                wire.shut(self._socket)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self._options.stall_timeout)

    def _run(self, sock: socket.socket) -> None:
        try:
            while not self.window.failed:
                self._use(sock)
                if self.window.failed:
                    return
                self._check_answers()
                LOG.warning("the data connection of %s broke; connecting again", self._migration_id)
                sock = self._connect_patiently()
        except SV2MError as error:
            self.window.fail(error)
        except Exception:
            LOG.exception("the sender of %s failed", self._migration_id)
            self.window.fail(PeerError("the data channel failed; the agent's log has the details"))

    def _use(self, sock: socket.socket) -> None:
        """Send on one connection until it breaks or everything ends."""
        broken = threading.Event()
        reader = threading.Thread(
            target=self._read_marks, args=(sock, broken), name=f"marks-{self._migration_id}", daemon=True
        )
        reader.start()
        try:
            while True:
                sealed = self.window.next(broken.is_set)
                if sealed is None:
                    return
                self._send(sock, sealed)
        except OSError as error:
            LOG.info("sending for %s: %s", self._migration_id, error)
        except SV2MError:
            return  # the window has failed; whoever waits for it knows
        finally:
            wire.shut(sock)
            reader.join()
            with self._lock:
                self._socket = None
                sock.close()

    def _send(self, sock: socket.socket, sealed: Sealed) -> None:
        header = FRAME.pack(sealed.mark.stream, sealed.mark.index, len(sealed.content))
        sock.sendall(header, socket.MSG_MORE)
        piece = self._brake.piece
        for start in range(0, len(sealed.content), piece):
            part = sealed.content[start : start + piece]
            self._brake.take(len(part))
            sock.sendall(part)
            self.window.moved()

    def _read_marks(self, sock: socket.socket, broken: threading.Event) -> None:
        try:
            marks = wire.MarkReader(sock)
            while not self._given_up:
                self._believe(lambda: self._hear(marks.read(self._options.stall_timeout / 4)))
                self._check_progress()
        except OSError as error:
            LOG.info("reading for %s: %s", self._migration_id, error)
        except SV2MError as error:
            self.window.fail(error)
        finally:
            broken.set()
            wire.shut(sock)
            self.window.wake()

    def _hear(self, mark: wire.Mark | None) -> None:
        """What B says, None for nothing. :raises OSError: the connection is of no more use."""
        if mark is None:
            if self.window.still > self._options.stall_timeout:
                raise TimeoutError("the destination neither takes anything nor says anything")
        elif mark.stream == wire.STORING:
            self.window.answered()
        elif mark.stream == wire.GIVEN_UP:
            self._given_up = True
        else:
            self.window.confirm(mark)
            self._spoilt = 0

    def _believe(self, take: Callable[[], None]) -> None:
        """Take a word of B's. One that cannot be is asked again, on another connection, before it ends the transfer."""
        try:
            take()
        except PeerError as error:
            self.window.check()
            self._spoilt += 1
            if self._spoilt > _SPOILT:
                raise
            raise ConnectionError(f"{error}; it is asked again") from error

    def _check_progress(self) -> None:
        """:raises PeerError: B lives, and is not done with a segment for too long."""
        if self.window.unconfirmed > self._options.progress_timeout:
            raise PeerError(
                f"the destination has stored nothing for {self._options.progress_timeout:.0f} seconds",
                code="no-progress",
                remedy="Look at the storage of the destination's host, and at its agent's log.",
            )

    def _check_answers(self) -> None:
        """:raises PeerUnreachable: connections are welcomed, and nothing gets through on them."""
        if self.window.unanswered > self._options.answer_timeout:
            host, port = self._endpoint
            raise PeerUnreachable(
                f"the peer's data endpoint {host}:{port} lets connections in, and no data gets through to it",
                code="no-data-passes",
                remedy="Look at the MTU on the way between the two hosts: small packets pass, large ones do not.",
            )

    def _connect_patiently(self) -> socket.socket:
        deadline = time.monotonic() + self._options.retry_seconds
        attempt = 0
        while True:
            try:
                return self._connect()
            except (OSError, MalformedMessage) as error:
                if self._given_up:
                    raise PeerError(
                        "the destination has given the transfer up; its own error tells why", code="given-up-by-peer"
                    ) from error
                if time.monotonic() > deadline:
                    host, port = self._endpoint
                    raise PeerUnreachable(f"the peer's data endpoint {host}:{port}: {error}") from error
                LOG.debug("connecting for %s: %s", self._migration_id, error)
            if self._closed.wait(_PAUSES[min(attempt, len(_PAUSES) - 1)]):
                raise PeerError("the data channel was closed", code="aborted")
            attempt += 1

    def _connect(self) -> socket.socket:
        # A number is used for one attempt only, whatever came of it: B takes a ticket once.
        self._connection += 1
        timeout = min(10.0, self._options.stall_timeout)
        sock = wire.connect(self._endpoint, self._options.reach, timeout)
        try:
            with self._lock:
                self._socket = sock
            if self._closed.is_set():
                raise PeerError("the data channel was closed", code="aborted")
            wire.tune(sock, self._options.stall_timeout, unsent=False)
            hello = wire.Hello(self._migration_id, self._connection, self._ticket(self._connection))
            sock.sendall(hello.encode())
            sock.settimeout(self._options.stall_timeout)
            mark = wire.read_welcome(sock, self._storing)
            self._believe(lambda: self.window.rewind(mark))
            self._given_up = False
            self.window.moved()
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        return sock

    def _storing(self) -> None:
        """B has first to finish a segment of the former connection.

        It may say so for as long as it likes, and we need not hear it: :meth:`close` has ended the window then.
        """
        self.window.check()
        self.window.answered()
        self._check_progress()
