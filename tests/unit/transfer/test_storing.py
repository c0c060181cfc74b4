# SPDX-License-Identifier: Apache-2.0
"""A destination that takes its time with a segment, one that hangs, and a network that lets only small packets pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sv2m.errors import PeerError, PeerUnreachable
from sv2m.protocol.segments import FRAME
from tests.unit.transfer.channel import SEGMENT, Channel, until

#: Seconds; a sign of life comes ten times as often.
STALL = 1.0


@pytest.fixture
def busy() -> Iterator[Channel]:
    """The destination stores the first segment until its gate is opened."""
    channel = Channel()
    channel.sender = channel.new_sender(stall_timeout=STALL, retry_seconds=1.0)
    channel.store.gate.clear()
    yield channel
    channel.close()


def _signs(channel: Channel, count: int) -> None:
    """Await so many signs of life more."""
    before = channel.middle.came_back
    until("signs of life", lambda: channel.middle.came_back >= before + count * FRAME.size)


def test_a_destination_that_stores_for_long_is_waited_for(busy: Channel) -> None:
    """More is under way than the network holds: nothing moves meanwhile but the signs of life."""
    busy.sender = busy.new_sender(stall_timeout=STALL, retry_seconds=1.0, window_bytes=500 * SEGMENT)
    busy.sender.start()
    content = b"x" * SEGMENT
    for index in range(400):
        busy.put(1, index, content)
    _signs(busy, 30)
    busy.store.gate.set()
    busy.sender.window.flush()
    assert busy.middle.connections == 1
    assert len(busy.store.segments) == 400


def test_also_by_a_connection_that_comes_meanwhile(busy: Channel) -> None:
    busy.sender.start()
    busy.put(1, 0, b"one")
    _signs(busy, 1)
    busy.middle.cut()
    # Longer than the source tries to reach a destination that is away.
    _signs(busy, 30)
    busy.store.gate.set()
    busy.put(1, 1, b"two")
    busy.sender.window.flush()
    assert busy.middle.connections == 2
    assert busy.store.content[1] == b"onetwo"


def test_a_destination_that_is_never_done_is_given_up(busy: Channel) -> None:
    busy.sender = busy.new_sender(stall_timeout=STALL, progress_timeout=2.0)
    busy.sender.start()
    busy.put(1, 0, b"one")
    with pytest.raises(PeerError, match="stored nothing for 2 seconds") as caught:
        busy.sender.window.flush()
    assert caught.value.code == "no-progress"


def test_a_network_that_lets_only_small_packets_pass_is_noticed(channel: Channel) -> None:
    """Hello and welcome come through on every connection."""
    channel.middle.swallow_after = 1000
    channel.sender = channel.new_sender(stall_timeout=STALL, retry_seconds=1.0)
    channel.sender.start()
    channel.put(1, 0, b"x" * SEGMENT)
    with pytest.raises(PeerUnreachable, match="no data gets through") as caught:
        channel.sender.window.flush()
    assert caught.value.code == "no-data-passes"
    assert channel.middle.connections > 1


def test_a_source_that_has_nothing_to_send_is_none_that_hangs(channel: Channel) -> None:
    channel.sender = channel.new_sender(stall_timeout=0.2, progress_timeout=0.2, retry_seconds=0.2)
    channel.sender.start()
    channel.put(1, 0, b"one")
    channel.sender.window.flush()
    until("B is told that nothing comes", lambda: channel.store.quiet_times)
    channel.put(1, 1, b"two")
    channel.sender.window.flush()
    assert channel.middle.connections == 1
    assert channel.store.content[1] == b"onetwo"


def test_a_mark_that_trickles_holds_nobody_up(channel: Channel) -> None:
    """Half a mark, and then nothing: the connection is made again."""
    held = [True]
    whole = threading.Event()

    def half(piece: bytes) -> bytes:
        if held and len(piece) == FRAME.size:
            held.clear()
            whole.set()
            return piece[:7]
        return piece

    channel.middle.answer = half
    channel.sender = channel.new_sender(stall_timeout=STALL)
    channel.sender.start()
    channel.put(1, 0, b"one")
    channel.sender.window.flush()
    assert whole.is_set()
    assert channel.middle.connections == 2
    assert channel.store.segments == [(1, 0)]
