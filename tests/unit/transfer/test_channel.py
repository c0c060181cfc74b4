# SPDX-License-Identifier: Apache-2.0
"""Segments from A to B: in order, once, also when the network breaks."""

from __future__ import annotations

import os
import threading

import pytest

from sv2m.errors import HostError, PeerError, PeerUnreachable
from tests.unit.transfer.channel import SEGMENT, Channel, until

SEGMENTS = [os.urandom(SEGMENT) for _ in range(40)]


def test_streams_arrive_whole_and_in_the_order_sent(channel: Channel) -> None:
    channel.sender.start()
    for index, plaintext in enumerate(SEGMENTS):
        channel.put(1, index, plaintext)
    channel.put(2, 0, b"the rest")
    channel.sender.window.flush()
    assert channel.store.content == {1: b"".join(SEGMENTS), 2: b"the rest"}
    assert channel.store.segments == [*((1, index) for index in range(len(SEGMENTS))), (2, 0)]


@pytest.mark.parametrize("after", [1, 58, 90, SEGMENT // 2, 5 * SEGMENT + 7, 20 * SEGMENT])
def test_a_broken_connection_goes_on_at_the_last_confirmed_segment(channel: Channel, after: int) -> None:
    channel.middle.cut_after = after
    channel.sender.start()
    for index, plaintext in enumerate(SEGMENTS):
        channel.put(1, index, plaintext)
    channel.sender.window.flush()
    assert channel.middle.connections > 1
    assert channel.store.segments == [(1, index) for index in range(len(SEGMENTS))]
    assert channel.store.content[1] == b"".join(SEGMENTS)


def test_a_connection_that_breaks_while_nothing_is_sent_is_made_again(channel: Channel) -> None:
    channel.sender.start()
    channel.put(1, 0, b"one")
    channel.sender.window.flush()
    channel.middle.cut()
    channel.put(1, 1, b"two")
    channel.sender.window.flush()
    assert channel.store.content[1] == b"onetwo"


def test_a_destination_that_stays_away_ends_the_transfer(channel: Channel) -> None:
    channel.sender = channel.new_sender(retry_seconds=0.5)
    channel.sender.start()
    channel.middle.close()
    with pytest.raises(PeerUnreachable, match=r"127\.0\.0\.1"):
        channel.sender.window.flush()
        channel.put(1, 0, b"one")
        channel.sender.window.flush()


def test_a_destination_that_was_never_there_is_an_error_at_start(channel: Channel) -> None:
    channel.middle.close()
    channel.sender = channel.new_sender(retry_seconds=0.2)
    with pytest.raises(PeerUnreachable):
        channel.sender.start()


def test_the_window_is_bounded(channel: Channel) -> None:
    channel.store.gate.clear()
    channel.sender.start()
    done = threading.Event()

    def fill() -> None:
        for index, plaintext in enumerate(SEGMENTS):
            channel.put(1, index, plaintext)
        done.set()

    thread = threading.Thread(target=fill)
    thread.start()
    until("the sender has sent what it may", lambda: channel.middle.passed > SEGMENT)
    assert not done.is_set()
    channel.store.gate.set()
    thread.join(20)
    assert done.is_set()


def test_closing_wakes_whoever_waits(channel: Channel) -> None:
    channel.store.gate.clear()
    channel.sender.start()
    raised: list[BaseException] = []

    def fill() -> None:
        try:
            for index, plaintext in enumerate(SEGMENTS):
                channel.put(1, index, plaintext)
        except PeerError as error:
            raised.append(error)

    thread = threading.Thread(target=fill)
    thread.start()
    until("something is under way", lambda: channel.middle.passed > SEGMENT)
    channel.sender.close(PeerError("enough", code="aborted"))
    thread.join(20)
    assert [str(error) for error in raised] == ["enough"]


def test_an_error_of_the_sink_ends_both_ends(channel: Channel) -> None:
    channel.store.refuse = HostError("the disk is full")
    channel.sender.start()
    channel.put(1, 0, b"one")
    with pytest.raises(PeerError) as caught:
        channel.sender.window.flush()
    assert caught.value.code == "given-up-by-peer"
    assert until("the sink hears", lambda: channel.store.error) is channel.store.refuse
