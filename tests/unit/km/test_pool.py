# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import threading
import time

from sv2m.km.pool import Pool


def until(look: object) -> None:
    deadline = time.monotonic() + 10
    while not look():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def maker() -> tuple[object, itertools.count[int]]:
    numbers = itertools.count()

    def make() -> tuple[bytes, bytes]:
        number = next(numbers)
        return b"public%d" % number, b"private%d" % number

    return make, numbers


def test_pairs_are_made_ahead_and_none_is_given_out_twice() -> None:
    make, _ = maker()
    pool = Pool(make, 3)  # type: ignore[arg-type]
    pool.start()
    until(lambda: pool.ready == 3)
    taken = [pool.take() for _ in range(10)]
    assert len({pair.public_key for pair in taken}) == 10
    until(lambda: pool.ready == 3)
    pool.stop()


def test_without_a_ready_pair_one_is_made_now() -> None:
    make, _ = maker()
    assert Pool(make, 0).take().public_key == b"public0"  # type: ignore[arg-type]


def test_stopping_wipes_what_nobody_took() -> None:
    made: list[bytes] = []

    def make() -> tuple[bytes, bytes]:
        made.append(b"x")
        return b"public", b"private"

    pool = Pool(make, 2)
    pool.start()
    until(lambda: pool.ready == 2)
    kept = list(pool._ready.queue)
    pool.stop()
    assert pool.ready == 0
    assert all(pair.private_key == bytes(7) for pair in kept)


def test_a_maker_that_fails_does_not_end_the_pool() -> None:
    failed = threading.Event()

    def make() -> tuple[bytes, bytes]:
        if not failed.is_set():
            failed.set()
            raise ValueError("secret number 42")
        return b"public", b"private"

    pool = Pool(make, 1)
    pool.start()
    assert failed.wait(10)
    assert pool.take().public_key == b"public"
    pool.stop()


def test_a_pair_does_not_print_its_private_half() -> None:
    make, _ = maker()
    assert "private0" not in repr(Pool(make, 0).take())  # type: ignore[arg-type]
