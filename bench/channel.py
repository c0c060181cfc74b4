# SPDX-License-Identifier: Apache-2.0
"""Seal and send over the loopback: the product's own sealer, sender, receiver and opener, two processes."""

from __future__ import annotations

import multiprocessing
import os
import time
import uuid
from dataclasses import dataclass

from bench.receiving import STREAM, receive
from bench.usage import Usage, usage
from sv2m.errors import SV2MError
from sv2m.protocol.reach import Reach
from sv2m.protocol.segments import OVERHEAD, Sealer, ticket
from sv2m.transfer.sender import Sender, SenderOptions
from sv2m.transfer.wire import Mark


@dataclass(frozen=True)
class Result:
    """Wall seconds, and what each side used."""

    seconds: float
    source: Usage
    destination: Usage


def measure(total: int, segment: int) -> Result:
    """Send ``total`` bytes in segments of ``segment`` bytes; the last one is confirmed when the clock stops."""
    migration_id, vmk, sid = str(uuid.uuid4()), os.urandom(32), os.urandom(48)
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    peer = spawn.Process(target=receive, args=(there, migration_id, (vmk, sid), segment, total), daemon=True)
    peer.start()
    port = here.recv()
    # Random, so that nothing on the way can make it smaller; the same bytes again are fine, their IV differs.
    plaintext = memoryview(os.urandom(segment))
    sealer = Sealer(vmk)
    sender = Sender(
        ("127.0.0.1", port),
        migration_id,
        lambda connection: ticket(vmk, sid, migration_id, connection),
        SenderOptions(segment_bytes=segment + OVERHEAD, reach=Reach.of(["127.0.0.0/8"])),
    )
    before, begin = usage(), time.monotonic()
    sender.start()
    try:
        for index, start in enumerate(range(0, total, segment)):
            room = sender.window.buffer()
            length, _ = sealer.seal(STREAM, index, plaintext[: min(segment, total - start)], room)
            sender.window.submit(Mark(STREAM, index), length)
        sender.window.flush()
        seconds, used = time.monotonic() - begin, usage().since(before)
        answer: Usage | SV2MError = here.recv()
    finally:
        sender.close()
        here.send("closed")
        peer.join(10)
    if isinstance(answer, SV2MError):
        raise answer
    return Result(seconds, used, answer)
