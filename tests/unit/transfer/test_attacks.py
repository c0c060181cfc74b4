# SPDX-License-Identifier: Apache-2.0
"""What somebody on the network, or a hostile peer, tries on a data channel."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading

import pytest

from sv2m.errors import IntegrityError, MalformedMessage, PeerError
from sv2m.protocol.segments import FRAME, OVERHEAD, Sealer
from sv2m.transfer import wire
from tests.unit.transfer.channel import SEGMENT, Channel, until

#: How often B asks again for a segment that does not open, and A for a word that cannot be.
ASKED_AGAIN = 3


def sealed_frame(sealer: Sealer, stream: int, index: int) -> bytes:
    out = bytearray(100 + OVERHEAD)
    sealer.seal(stream, index, b"x" * 100, out)
    return FRAME.pack(stream, index, len(out)) + bytes(out)


class Stranger:
    """A connection of one's own to B's endpoint."""

    def __init__(self, channel: Channel) -> None:
        self.sock = socket.create_connection(("127.0.0.1", channel.receiver.port), 5)

    def hello(self, migration_id: str, connection: int, ticket: bytes) -> Stranger:
        self.sock.sendall(wire.Hello(migration_id, connection, ticket).encode())
        return self

    def segment(
        self, channel: Channel, stream: int, index: int, plaintext: bytes, sealer: Sealer | None = None
    ) -> None:
        out = bytearray(len(plaintext) + OVERHEAD)
        (sealer or channel.sealer).seal(stream, index, plaintext, out)
        self.sock.sendall(FRAME.pack(stream, index, len(out)) + out)

    def closed(self) -> bool:
        """Whether B has closed; what it said before is thrown away."""
        try:
            while self.sock.recv(1024):
                continue
        except ConnectionResetError:
            return True
        return True


def test_without_a_ticket_the_door_stays_shut(channel: Channel) -> None:
    assert Stranger(channel).hello(channel.id, 1, os.urandom(32)).closed()
    assert Stranger(channel).hello("6f1b2e1e-3c5b-4b59-9d59-0f4a2a3d8a11", 1, channel.ticket(1)).closed()
    assert channel.store.segments == []


def test_a_ticket_of_another_connection_does_not_fit(channel: Channel) -> None:
    assert Stranger(channel).hello(channel.id, 2, channel.ticket(1)).closed()


def test_a_ticket_lets_in_once(channel: Channel) -> None:
    first = Stranger(channel).hello(channel.id, 1, channel.ticket(1))
    assert wire.read_welcome(first.sock).stream == wire.NOTHING_YET
    assert Stranger(channel).hello(channel.id, 1, channel.ticket(1)).closed()
    first.segment(channel, 1, 0, b"still there")
    assert wire.read_mark(first.sock) == wire.Mark(1, 0)


def test_an_older_ticket_is_used_up_by_a_newer_one(channel: Channel) -> None:
    newer = Stranger(channel).hello(channel.id, 3, channel.ticket(3))
    wire.read_welcome(newer.sock)
    assert Stranger(channel).hello(channel.id, 2, channel.ticket(2)).closed()


def test_a_forgotten_migration_lets_nobody_in(channel: Channel) -> None:
    channel.receiver.forget(channel.id)
    assert Stranger(channel).hello(channel.id, 1, channel.ticket(1)).closed()


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n" * 8, bytes(58), b"SV2M" + bytes(54)])
def test_junk_is_not_answered(channel: Channel, junk: bytes) -> None:
    stranger = Stranger(channel)
    stranger.sock.sendall(junk)
    assert stranger.closed()


def test_a_silent_connection_is_closed(hasty: Channel) -> None:
    assert Stranger(hasty).closed()


def test_a_hello_that_trickles_is_closed(hasty: Channel) -> None:
    stranger = Stranger(hasty)
    stranger.sock.sendall(b"SV2M")
    assert stranger.closed()


@pytest.mark.parametrize("strangers", [0, 1], ids=["each has a ticket", "a stranger is among them"])
def test_where_there_is_no_room_a_stranger_goes_and_a_migration_stays(strangers: int) -> None:
    channel = Channel(connections=1 + strangers, hello_timeout=60)
    try:
        admitted = _admitted(channel)
        older = [Stranger(channel) for _ in range(strangers)]
        newer = Stranger(channel)
        assert (older[0] if older else newer).closed()
        admitted.segment(channel, 1, 0, b"it still works")
        assert wire.read_mark(admitted.sock) == wire.Mark(1, 0)
    finally:
        channel.close()


def _admitted(channel: Channel, connection: int = 1) -> Stranger:
    stranger = Stranger(channel).hello(channel.id, connection, channel.ticket(connection))
    wire.read_welcome(stranger.sock)
    return stranger


def _refused(channel: Channel, frame: bytes) -> PeerError:
    """B asks for it a few times more, then says that it gives up, and its sink hears why."""
    for connection in range(1, ASKED_AGAIN + 1):
        stranger = _admitted(channel, connection)
        stranger.sock.sendall(frame)
        assert stranger.closed()
        assert channel.store.error is None
    stranger = _admitted(channel, ASKED_AGAIN + 1)
    stranger.sock.sendall(frame)
    assert wire.read_mark(stranger.sock).stream == wire.GIVEN_UP
    error = until("the sink hears", lambda: channel.store.error)
    assert isinstance(error, PeerError)
    assert channel.store.segments == []
    assert Stranger(channel).hello(channel.id, 9, channel.ticket(9)).closed()
    return error


class Flips:
    """Flips a bit of what passes, in the last byte of the first so many pieces of a segment."""

    def __init__(self, times: int) -> None:
        self._left = times

    def __call__(self, piece: bytes) -> bytes:
        # A hello is shorter.
        if self._left and len(piece) > 1000:
            self._left -= 1
            return piece[:-1] + bytes([piece[-1] ^ 1])
        return piece


def test_a_changed_segment_is_not_used_and_asked_for_again(channel: Channel) -> None:
    """TCP's checksum misses one change among 65536: hours of work must not hang on one bit."""
    content = os.urandom(3 * SEGMENT)
    channel.middle.change = Flips(1)
    channel.sender.start()
    for index in range(3):
        channel.put(1, index, content[index * SEGMENT : (index + 1) * SEGMENT])
    channel.sender.window.flush()
    assert channel.middle.connections == 2
    assert channel.store.segments == [(1, 0), (1, 1), (1, 2)]
    assert channel.store.content[1] == content


def test_a_segment_that_never_comes_whole_ends_the_transfer(channel: Channel) -> None:
    channel.middle.change = Flips(1_000_000)
    channel.sender.start()
    channel.put(1, 0, os.urandom(SEGMENT))
    with pytest.raises(PeerError) as caught:
        channel.sender.window.flush()
    assert caught.value.code == "given-up-by-peer"
    assert isinstance(until("the sink hears", lambda: channel.store.error), IntegrityError)
    assert channel.store.segments == []


def test_a_packet_that_somebody_injects_does_not_end_the_transfer(channel: Channel) -> None:
    junk = [b"\xff" * 100]
    channel.middle.change = lambda piece: (junk.pop() if junk and len(piece) > 1000 else b"") + piece
    channel.sender.start()
    channel.put(1, 0, b"x" * SEGMENT)
    channel.sender.window.flush()
    assert channel.store.segments == [(1, 0)]


@pytest.mark.parametrize(
    "injected",
    [wire.Mark(wire.GIVEN_UP, 0).encode(), wire.Mark(1, 77).encode(), b"\xff" * FRAME.size],
    ids=["given up", "a segment that was not sent", "no mark"],
)
def test_a_word_that_somebody_puts_into_the_destinations_mouth_is_asked_again(
    channel: Channel, injected: bytes
) -> None:
    forged = [injected]
    # The welcome has a mark in it, and is longer than one.
    channel.middle.answer = lambda piece: forged.pop() + piece if forged and len(piece) == FRAME.size else piece
    channel.sender.start()
    channel.put(1, 0, b"one")
    channel.sender.window.flush()
    channel.put(1, 1, b"two")
    channel.sender.window.flush()
    assert channel.store.content[1] == b"onetwo"
    assert not forged


def test_a_segment_of_another_migration_does_not_open(channel: Channel) -> None:
    frame = sealed_frame(Sealer(os.urandom(32)), 1, 0)
    assert isinstance(_refused(channel, frame), IntegrityError)


def test_a_segment_under_another_number_does_not_open(channel: Channel) -> None:
    frame = sealed_frame(channel.sealer, 2, 0)
    assert isinstance(_refused(channel, FRAME.pack(1, 0, 100 + OVERHEAD) + frame[FRAME.size :]), IntegrityError)


def test_a_segment_out_of_order_is_refused(channel: Channel) -> None:
    sealer = Sealer(channel.vmk)
    sealed_frame(sealer, 1, 0)
    assert "was due" in str(_refused(channel, sealed_frame(sealer, 1, 1)))


def test_a_segment_sent_twice_is_not_used_twice(channel: Channel) -> None:
    stranger = _admitted(channel)
    stranger.segment(channel, 1, 0, b"x" * 100)
    assert wire.read_mark(stranger.sock) == wire.Mark(1, 0)
    stranger.segment(channel, 1, 0, b"x" * 100)
    assert stranger.closed()
    assert channel.store.segments == [(1, 0)]


def test_a_stream_that_is_not_planned_is_refused(channel: Channel) -> None:
    assert _refused(channel, sealed_frame(channel.sealer, 7, 0)).code == "not-planned"


@pytest.mark.parametrize("length", [0, OVERHEAD, SEGMENT + OVERHEAD + 1, 2**32 - 1])
def test_a_segment_of_a_wrong_size_is_refused_before_it_is_read(channel: Channel, length: int) -> None:
    assert isinstance(_refused(channel, struct.pack("!IQI", 1, 0, length)), MalformedMessage)


def test_a_source_that_trickles_is_noticed() -> None:
    """Each byte comes in time, the segment never would."""
    channel = Channel(stall_timeout=1)
    try:
        stranger = _admitted(channel)
        stranger.sock.sendall(FRAME.pack(1, 0, SEGMENT + OVERHEAD))
        closed = select.poll()
        closed.register(stranger.sock, select.POLLIN)
        while not closed.poll(50):
            stranger.sock.sendall(b"x")
        assert stranger.closed()
    finally:
        channel.close()


def test_more_segments_than_planned_are_refused() -> None:
    channel = Channel(segments=3)
    try:
        channel.sender.start()
        with pytest.raises(PeerError):
            for index in range(4):
                channel.put(1, index, bytes([index]) * SEGMENT)
            channel.sender.window.flush()
        error = until("the sink hears", lambda: channel.store.error)
        assert error.code == "more-than-planned"
        assert channel.store.segments == [(1, 0), (1, 1), (1, 2)]
    finally:
        channel.close()


@pytest.mark.parametrize(
    "mark",
    [wire.Mark(1, 5), wire.Mark(9, 0), wire.Mark(wire.GIVEN_UP, 0)],
    ids=["not sent", "not planned", "given up"],
)
def test_a_destination_that_confirms_what_it_cannot_have_ends_the_transfer(mark: wire.Mark) -> None:
    """A forged confirmation must not make the source forget what the destination does not have."""
    channel = Channel()
    try:
        listener = socket.create_server(("127.0.0.1", 0))
        channel.middle.close()
        channel.middle.port = listener.getsockname()[1]
        channel.sender = channel.new_sender()
        channel.put(1, 0, b"x" * 100)
        kept: list[socket.socket] = []

        def answer() -> None:
            """To each connection the same; one that has given up lets nobody in any more."""
            for welcomed in range(ASKED_AGAIN + 1):
                sock, _ = listener.accept()
                kept.append(sock)
                wire.read_hello(sock, 5)
                if mark.stream == wire.GIVEN_UP and welcomed:
                    sock.close()
                    return
                sock.sendall(wire.welcome(wire.Mark(wire.NOTHING_YET, 0)) + mark.encode())

        thread = threading.Thread(target=answer)
        thread.start()
        channel.sender.start()
        with pytest.raises(PeerError):
            channel.sender.window.flush()
        thread.join(5)
        assert not thread.is_alive()
        listener.close()
    finally:
        channel.receiver.stop()


def test_a_welcome_that_skips_ahead_ends_the_transfer(channel: Channel) -> None:
    channel.sender.start()
    channel.put(1, 0, b"one")
    channel.sender.window.flush()
    with pytest.raises(PeerError):
        channel.sender.window.rewind(wire.Mark(1, 4))


def test_a_stranger_makes_way_for_the_next_connection_but_a_migration_does_not() -> None:
    channel = Channel(connections=2, hello_timeout=60)
    try:
        channel.sender.start()
        channel.put(1, 0, b"before")
        channel.sender.window.flush()
        first = socket.create_connection(("127.0.0.1", channel.receiver.port), 5)
        second = socket.create_connection(("127.0.0.1", channel.receiver.port), 5)
        with first, second:
            assert first.recv(1) == b"", "the older stranger was sent away"
            channel.put(1, 1, b"behind")
            channel.sender.window.flush()
        assert channel.store.content[1] == b"beforebehind"
        assert channel.middle.connections == 1
    finally:
        channel.close()
