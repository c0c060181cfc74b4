# SPDX-License-Identifier: Apache-2.0
"""A load balancer asks whether the API can do anything."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import webob
from oslo_config import cfg

from sv2m import errors, rpc
from sv2m.api.health import Health
from sv2m.engine import client as conductor


def _up(*_: object) -> Callable[..., object]:
    return webob.Response(text="OK")


def _away() -> None:
    raise errors.ServiceUnavailable("mysql://sv2m:secret@db says no")


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _conf(url: str) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    rpc.transport(conf)
    conf.set_override("transport_url", url)
    return conf


def _asked(health: Health) -> webob.Response:
    return webob.Request.blank("/healthcheck").get_response(health)


def test_it_is_well_when_all_that_it_needs_is() -> None:
    assert _asked(Health(_up(), {"database": lambda: None})).status_int == 200


def test_what_is_away_is_named_and_nothing_else_said() -> None:
    response = _asked(Health(_up(), {"database": _away, "message broker": lambda: None}))
    assert (response.status_int, response.json) == (503, {"away": ["database"]})


def test_one_that_hangs_is_away_and_is_asked_once() -> None:
    hangs, asked = threading.Event(), []

    def hanging() -> None:
        asked.append(1)
        hangs.wait()

    health = Health(_up(), {"database": hanging}, patience=0.01)
    for _ in range(3):
        assert _asked(health).status_int == 503
    assert asked == [1]
    hangs.set()


def test_an_api_that_was_taken_out_by_hand_stays_out() -> None:
    assert _asked(Health(webob.Response(status=503), {"database": lambda: None})).status_int == 503


@pytest.fixture
def broker() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def test_a_broker_of_which_one_node_lives_is_there(broker: int, closed_port: int) -> None:
    rpc.Broker(_conf(f"rabbit://u:p@127.0.0.1:{closed_port},u:p@127.0.0.1:{broker}/")).check()


def test_nobody_waits_for_a_broker_that_is_away(closed_port: int) -> None:
    """oslo.messaging would try again for ever, and the user with it."""
    conf = _conf(f"rabbit://u:p@127.0.0.1:{closed_port}/")
    client = conductor.Client(rpc.transport(conf), 60, rpc.Broker(conf))
    for call in (
        lambda: client.receive({}, "YQ==", True),
        lambda: client.start_migration({}, "m"),
        lambda: client.abort_migration({}, "m"),
    ):
        with pytest.raises(errors.ServiceUnavailable, match="the message broker takes no connection"):
            call()
