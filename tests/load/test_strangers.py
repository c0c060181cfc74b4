# SPDX-License-Identifier: Apache-2.0
"""Strangers are counted when they are connected: with nobody listening there is no crowd."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.load.strangers import Strangers
from tests.unit.transfer.channel import until


def _stay(sock: socket.socket, over: threading.Event) -> None:
    over.wait()


@contextmanager
def _crowd(strangers: Strangers) -> Iterator[None]:
    strangers.start()
    try:
        yield
    finally:
        strangers.stop()


def test_nobody_comes_to_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    tried = threading.Event()

    class Last:
        """The network of a stranger, who leaves it when he has tried often enough."""

        def __enter__(self) -> None:
            """In."""

        def __exit__(self, *_: object) -> None:
            tried.set()

    strangers = Strangers(port, [_stay], 1, 5, network=Last)
    with _crowd(strangers):
        assert tried.wait(60)
    assert (strangers.visits, strangers.visitors) == (0, 0)


def test_each_who_is_connected_is_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        strangers = Strangers(listener.getsockname()[1], [_stay], 3)
        with _crowd(strangers):
            until("they are connected", lambda: strangers.visits == 3)
            assert strangers.visitors == 3
            strangers.count_anew()
            assert (strangers.visits, strangers.visitors) == (3, 0)
