# SPDX-License-Identifier: Apache-2.0
"""Who is on the way to a revocation list decides neither whether it is known nor how long a guest stands still."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sv2m import errors
from sv2m.cmm.fetch import HttpFetch
from sv2m.cmm.revocation import RevocationLists
from tests.fuzz.targets import authority

LIMIT = 1 << 20


class Place:
    """A web server that answers when the test lets it."""

    def __init__(self) -> None:
        self.status, self.bodies = 200, {"/": b"first"}
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Semaphore(0)
        self.times = 0
        self.url = ""


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.times += 1
            made.asked.release()
            made.open.wait(60)
            body = made.bodies.get(self.path, b"")
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.open.set()
        server.shutdown()
        thread.join()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fetch(clock: Clock) -> HttpFetch:
    return HttpFetch(60, patience=0.05, clock=clock)


def test_where_nothing_was_fetched_before_it_is_waited_for(place: Place, fetch: HttpFetch) -> None:
    place.open.clear()
    threading.Timer(0.3, place.open.set).start()
    assert fetch(place.url, LIMIT) == b"first"


def test_where_something_was_fetched_before_a_moment_is_enough(place: Place, fetch: HttpFetch) -> None:
    assert fetch(place.url, LIMIT) == b"first"
    place.open.clear()
    place.bodies["/"] = b"second"
    for _ in range(3):
        with pytest.raises(errors.ServiceUnavailable, match="not waited for"):
            fetch.briefly(place.url, LIMIT)
    # Whoever asks next has it, as soon as it has come.
    place.open.set()
    fetch._fetching[place.url].body.result(60)
    assert fetch.briefly(place.url, LIMIT) == b"second"
    assert place.times == 2
    place.bodies["/"] = b"third"
    assert fetch(place.url, LIMIT) == b"third"


def test_what_came_long_ago_is_nobodys_answer(place: Place, fetch: HttpFetch, clock: Clock) -> None:
    fetch(place.url, LIMIT)
    place.open.clear()
    with pytest.raises(errors.ServiceUnavailable):
        fetch.briefly(place.url, LIMIT)
    place.open.set()
    fetch._fetching[place.url].body.result(60)
    clock.now += 7200
    place.bodies["/"] = b"of today"
    assert fetch(place.url, LIMIT) == b"of today"


def test_a_place_that_fails_is_left_alone_for_a_while_if_there_is_something_to_fall_back_on(
    place: Place, fetch: HttpFetch, clock: Clock
) -> None:
    fetch(place.url, LIMIT)
    place.status = 503
    for _ in range(3):
        with pytest.raises(errors.ServiceUnavailable, match="503"):
            fetch.briefly(place.url, LIMIT)
    assert place.times == 2
    clock.now += 60
    place.status = 200
    assert fetch(place.url, LIMIT) == b"first"


def test_a_place_that_fails_is_asked_anew_if_there_is_nothing_else(place: Place, fetch: HttpFetch) -> None:
    place.status = 503
    with pytest.raises(errors.ServiceUnavailable):
        fetch(place.url, LIMIT)
    place.status = 200
    assert fetch(place.url, LIMIT) == b"first"


def test_all_who_ask_meanwhile_wait_for_the_same_fetch(place: Place, fetch: HttpFetch) -> None:
    place.open.clear()
    got: list[bytes] = []
    asking = [threading.Thread(target=lambda: got.append(fetch(place.url, LIMIT))) for _ in range(8)]
    for thread in asking:
        thread.start()
    place.asked.acquire(timeout=60)
    place.open.set()
    for thread in asking:
        thread.join()
    assert set(got) == {b"first"}
    assert place.times < 8


def test_a_kept_list_serves_while_the_place_is_a_tarpit(place: Place, fetch: HttpFetch) -> None:
    place.bodies = {"/middle": authority.crl("middle", 1002), "/root": authority.crl("root", 1001)}
    clock = Clock()
    urls = [f"{place.url}middle", f"{place.url}root"]
    lists = RevocationLists(fetch, urls, [], 0, briefly=fetch.briefly, clock=clock)
    trusted = [*authority.chain(), authority.root()]
    lists.check(trusted, authority.NOW)
    known = set(lists.all())
    place.open.clear()
    # After the commit, when a server stands still.
    lists.check_keys(trusted, authority.NOW)
    assert set(lists.all()) == known


def test_a_slow_authority_is_waited_for_before_the_commit_and_heard_after_it(place: Place) -> None:
    """However seldom it is asked, and however slowly it answers, its new list is heard."""
    clock = Clock()
    fetch = HttpFetch(60, patience=0.01, clock=clock)
    lists = RevocationLists(fetch, [place.url], [], 300, briefly=fetch.briefly, clock=clock)
    place.bodies["/"] = authority.crl("root", 1001)
    path = [authority.chain()[-1], authority.root()]
    lists.check(path, authority.NOW)
    before = lists.all()
    place.bodies["/"] = authority.crl("root", 1001, 770001)
    place.open.clear()
    clock.now += 301
    lists.check_keys(path, authority.NOW)
    assert lists.all() == before, "nobody waits"
    place.open.set()
    fetch._fetching[place.url].body.result(60)
    clock.now += 31
    lists.check_keys(path, authority.NOW)
    assert lists.all() != before, "what came too late is heard by who asks next"
    # And before the commit it is waited for.
    now = lists.all()
    place.bodies["/"] = authority.crl("root", 1001, 770002)
    place.open.clear()
    clock.now += 301
    threading.Timer(0.3, place.open.set).start()
    lists.check(path, authority.NOW)
    assert lists.all() != now
