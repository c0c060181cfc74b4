# SPDX-License-Identifier: Apache-2.0
"""The agent's data port takes a migration's segments while strangers knock, and is the same afterwards as before."""

from __future__ import annotations

import os

from tests.load.strangers import (
    TO_A_DATA_ENDPOINT,
    Strangers,
    descriptors,
    forget_most,
    most_resident,
    resident,
    threads,
)
from tests.unit.transfer.channel import SEGMENT, Channel, until

MIB = 1 << 20
SEGMENTS = 400


def test_segments_arrive_while_200_strangers_knock() -> None:
    channel = Channel(connections=64, hello_timeout=10)
    pid = os.getpid()
    before = {measure: measure(pid) for measure in (resident, descriptors, threads)}
    forget_most(pid)
    strangers = Strangers(channel.receiver.port, TO_A_DATA_ENDPOINT)
    strangers.start()
    try:
        until("the strangers are there", lambda: strangers.visits >= 400, 120)
        strangers.count_anew()
        channel.sender.start()
        for index in range(SEGMENTS):
            channel.put(1, index, bytes([index % 251]) * SEGMENT)
            # A connection that breaks now is made anew, through the crowd.
            if index in (100, 200, 300):
                channel.middle.cut()
        channel.sender.window.flush()
        until("each of them comes again", lambda: strangers.visitors == 200, 120)
    finally:
        strangers.stop()
    expected = b"".join(bytes([index % 251]) * SEGMENT for index in range(SEGMENTS))
    assert channel.store.content[1] == expected
    assert channel.store.segments == [(1, index) for index in range(SEGMENTS)]
    # The segments themselves, twice, and the strangers' threads are in this process.
    assert most_resident(pid) < before[resident] + 3 * SEGMENTS * SEGMENT + 150 * MIB
    channel.close()
    until("every connection is closed", lambda: descriptors(pid) <= before[descriptors] + 2, 60)
    until("every thread has ended", lambda: threads(pid) <= before[threads] + 2, 60)
