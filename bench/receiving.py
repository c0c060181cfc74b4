# SPDX-License-Identifier: Apache-2.0
"""The destination's side, in a process of its own: opens every segment, compares its digest, throws it away."""

from __future__ import annotations

import threading
from multiprocessing.connection import Connection

from bench.usage import usage
from sv2m.errors import SV2MError
from sv2m.protocol.plan import segments_of
from sv2m.protocol.segments import Opener, ticket
from sv2m.transfer.receiver import Receiver, ReceiverOptions
from sv2m.transfer.session import Session, StreamLimits

STREAM = 1


class Discard:
    """A sink that counts. (Where an agent writes to QEMU or a disk, that is the price of the disk.)"""

    def __init__(self, total: int) -> None:
        self._left = total
        self.error: SV2MError | None = None
        self.done = threading.Event()

    def consume(self, stream: int, index: int, plaintext: memoryview, digest: bytes) -> None:
        """Count one segment, whose tag and digest the session has verified and computed."""
        self._left -= len(plaintext)
        if self._left <= 0:
            self.done.set()

    def quiet(self) -> None:
        """Nothing is kept."""

    def failed(self, error: SV2MError) -> None:
        """Remember why."""
        self.error = error
        self.done.set()


def receive(pipe: Connection, migration_id: str, keys: tuple[bytes, bytes], segment: int, total: int) -> None:
    """Say the port, take ``total`` bytes, say what it cost: (CPU seconds, peak RSS in bytes)."""
    vmk, sid = keys
    sink = Discard(total)
    receiver = Receiver(("127.0.0.1", 0), ReceiverOptions())
    receiver.start()
    receiver.expect(
        Session(
            migration_id,
            Opener(vmk),
            lambda connection: ticket(vmk, sid, migration_id, connection),
            {STREAM: StreamLimits(segment, segments_of(total, segment))},
            sink,
        )
    )
    before = usage()
    pipe.send(receiver.port)
    sink.done.wait()
    pipe.send(sink.error or usage().since(before))
    # The last mark is on its way until the sender has it and has closed.
    pipe.recv()
    receiver.stop()
