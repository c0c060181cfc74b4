# SPDX-License-Identifier: Apache-2.0
"""Both ends of a data channel in one process, with somebody in the middle who may cut and change."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

from sv2m.errors import SV2MError
from sv2m.protocol.reach import Reach
from sv2m.protocol.segments import OVERHEAD, Opener, Sealer, ticket
from sv2m.transfer.receiver import Receiver, ReceiverOptions
from sv2m.transfer.sender import Sender, SenderOptions
from sv2m.transfer.session import Session, StreamLimits
from sv2m.transfer.wire import Mark

T = TypeVar("T")
#: Small segments: the channel takes any size, the plan's lower bound is not its business.
SEGMENT = 64 << 10
#: Both ends are on this host.
HERE = Reach.of(["127.0.0.0/8"])


def until(what: str, look: Callable[[], T | None], timeout: float = 20.0) -> T:
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)
    return found


class Store:
    """A sink that keeps everything, or raises."""

    def __init__(self) -> None:
        self.content: dict[int, bytearray] = {}
        self.segments: list[tuple[int, int]] = []
        self.error: SV2MError | None = None
        self.refuse: SV2MError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.quiet_times = 0

    def consume(self, stream: int, index: int, plaintext: memoryview, digest: bytes) -> None:
        self.gate.wait()
        if self.refuse is not None:
            raise self.refuse
        self.segments.append((stream, index))
        self.content.setdefault(stream, bytearray()).extend(plaintext)

    def quiet(self) -> None:
        self.quiet_times += 1

    def failed(self, error: SV2MError) -> None:
        self.error = error


class Middle:
    """A TCP relay. ``change`` sees every piece that goes to B, ``answer`` what comes; ``cut`` breaks what there is."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.change: Callable[[bytes], bytes] = lambda piece: piece
        self.answer: Callable[[bytes], bytes] = lambda piece: piece
        self.passed = self.came_back = 0
        #: Of each connection so many bytes come through to B, and then none, as behind a router with a smaller MTU.
        self.swallow_after: int | None = None
        self.cut_after: int | None = None
        #: From so many bytes on nothing is passed, until :meth:`close`.
        self.hold_after: int | None = None
        self.held = threading.Event()
        self._open = threading.Event()
        self.connections = 0
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._sockets.clear()

    def close(self) -> None:
        self._open.set()
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                near.close()
                continue
            self._sockets += [near, far]
            threading.Thread(target=self._relay, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._relay, args=(far, near, False), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, onward: bool) -> None:
        through = 0
        try:
            while piece := source.recv(16384):
                if not onward:
                    piece = self.answer(piece)
                    self.came_back += len(piece)
                if onward:
                    piece = self.change(piece)
                    through += len(piece)
                    if self.swallow_after is not None and through > self.swallow_after:
                        continue
                    self.passed += len(piece)
                    if self.hold_after is not None and self.passed >= self.hold_after:
                        self.held.set()
                        self._open.wait()
                    if self.cut_after is not None and self.passed >= self.cut_after:
                        self.cut_after = None
                        self.cut()
                        return
                target.sendall(piece)
        except OSError:
            return
        finally:
            for sock in (source, target):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue


class Channel:
    """A migration's channel; everything is closed by :meth:`close`."""

    def __init__(
        self,
        *,
        streams: tuple[int, ...] = (1, 2),
        segments: int = 1000,
        connections: int = 8,
        hello_timeout: float = 5,
        stall_timeout: float = 5,
        sign_of_life: float = 0.1,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.vmk, self.sid = os.urandom(32), os.urandom(48)
        self.store = Store()
        options = ReceiverOptions(connections, hello_timeout, stall_timeout, sign_of_life)
        self.receiver = Receiver(("127.0.0.1", 0), options)
        self.receiver.start()
        limits = {stream: StreamLimits(SEGMENT, segments) for stream in streams}
        self.session = Session(self.id, Opener(self.vmk), self.ticket, limits, self.store)
        self.receiver.expect(self.session)
        self.middle = Middle(self.receiver.port)
        self.sealer = Sealer(self.vmk)
        self.sender = self.new_sender()

    def ticket(self, connection: int) -> bytes:
        return ticket(self.vmk, self.sid, self.id, connection)

    def new_sender(self, **options: float) -> Sender:
        settings = {"retry_seconds": 5.0, "stall_timeout": 5.0, "window_bytes": 4 * SEGMENT, **options}
        return Sender(
            ("127.0.0.1", self.middle.port),
            self.id,
            self.ticket,
            SenderOptions(segment_bytes=SEGMENT + OVERHEAD, reach=HERE, **settings),  # type: ignore[arg-type]
        )

    def put(self, stream: int, index: int, plaintext: bytes) -> None:
        room = self.sender.window.buffer()
        length, _ = self.sealer.seal(stream, index, plaintext, room)
        self.sender.window.submit(Mark(stream, index), length)

    def close(self) -> None:
        self.store.gate.set()
        self.sender.close()
        self.receiver.forget(self.id)
        self.middle.close()
        self.receiver.stop()
