# SPDX-License-Identifier: Apache-2.0
"""Whoever has not said a whole message makes way; whoever has is left in peace."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sv2m.gateway.door import Door


class Guests:
    """Connections to a door, each with its other end."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.ends: list[tuple[socket.socket, socket.socket]] = []

    def come(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.ends.append((ours, theirs))
        self.door.enter(ours)
        return ours

    @property
    def inside(self) -> list[int]:
        """Numbers of those that were not sent away."""
        found = []
        for number, (_, theirs) in enumerate(self.ends):
            try:
                theirs.recv(1)
            except BlockingIOError:
                found.append(number)
        return found

    def close(self) -> None:
        for pair in self.ends:
            for sock in pair:
                sock.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guests(clock: Clock) -> Iterator[Guests]:
    made = Guests(Door(3, 1000, 100.0, clock=clock))
    yield made
    made.close()


def test_the_oldest_makes_way(guests: Guests) -> None:
    for _ in range(5):
        guests.come()
    assert guests.inside == [2, 3, 4]


def test_who_was_heard_stays(guests: Guests) -> None:
    guests.door.visitor(guests.come()).hear()
    for _ in range(4):
        guests.come()
    assert guests.inside == [0, 3, 4]


def test_who_has_left_takes_no_place(guests: Guests) -> None:
    guests.come().close()
    for _ in range(3):
        guests.come()
    assert guests.inside == [1, 2, 3]


def test_bodies_have_a_bound_together(guests: Guests) -> None:
    first, second, third = (guests.door.visitor(guests.come()) for _ in range(3))
    first.hold(600)
    second.hold(300)
    assert guests.inside == [0, 1, 2]
    third.hold(900)
    assert guests.inside == [2]


def test_a_body_whose_message_was_heard_still_counts_but_stays(guests: Guests) -> None:
    first, second = (guests.door.visitor(guests.come()) for _ in range(2))
    first.hold(900)
    first.hear()
    second.hold(900)
    assert guests.inside == [0, 1]


def test_who_takes_too_long_is_sent_away(guests: Guests, clock: Clock) -> None:
    guests.door.visitor(guests.come()).hear()
    guests.come()
    clock.now = 90.0
    guests.come()
    guests.door.look()
    assert guests.inside == [0, 1, 2]
    clock.now = 150.0
    guests.door.look()
    assert guests.inside == [0, 2]
