# SPDX-License-Identifier: Apache-2.0
"""What a cloud tells whoever listens at its broker: that it runs short of room, and what its audit log says."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import amqp
import kombu
import pytest

from lab.guests import until
from lab.services import sv2m
from tests.cloud.world import Side, World


def _next(side: Side, priority: str, event_type: str) -> dict[str, Any] | None:
    """The next notification of a type in the queue that Ceilometer, or any other consumer, reads; its payload."""
    url = side.session.cloud.transport_url().replace("rabbit://", "amqp://", 1)
    with side.session.in_network(), kombu.Connection(url) as connection, contextlib.suppress(amqp.exceptions.NotFound):
        while (message := connection.default_channel.basic_get(f"notifications.{priority}", no_ack=True)) is not None:
            told = json.loads(json.loads(message.body)["oslo.message"])
            if told["event_type"] == event_type:
                return dict(told["payload"])
    return None


@pytest.fixture
def watchful(world: World) -> Iterator[Side]:
    """Cloud B, whose operator wants to know when the first percent of its memory is taken."""
    side = world.b
    file = sv2m.config(side.session.cloud)
    before = file.read_text()
    _restart(side, re.sub(r"(?m)^\[engine\]$", "[lmm]\nshort_memory_percent = 1\ninterval = 1\n\n[engine]", before))
    yield side
    _restart(side, before)


def _restart(side: Side, config: str) -> None:
    sv2m.config(side.session.cloud).write_text(config)
    side.kill("sv2m-engine")
    side.start("sv2m-engine")


def test_a_cloud_that_runs_short_of_room_says_so(watchful: Side) -> None:
    def told(wanted: str, priority: str) -> dict[str, Any]:
        return until(lambda: _next(watchful, priority, wanted), f"{wanted} is notified")

    def load() -> dict[str, Any]:
        (host,) = watchful.admin.call("GET", "sv2m-api", "/load")["hosts"]
        return dict(host)

    assert not load()["short"]
    server = watchful.manager.boot("heavy", volume_type=None)
    short = told("secure_migration.load.short", "warn")
    assert short["memory_mb_used"] >= 128 and short["short"]
    assert load()["short"], "`secure migration load list` shows it"
    watchful.admin.delete(server)
    enough = told("secure_migration.load.enough", "info")
    assert enough["host"] == short["host"] and not enough["short"]


def test_what_an_operator_does_is_notified_as_cadf(world: World) -> None:
    side = world.a
    agreement = {"name": "cloud-z.sv2m", "url": "https://cloud-z.sv2m:9891", "ca_pem": "", "direction": "outgoing"}
    agreement["ca_pem"] = side.admin.call("GET", "sv2m-api", f"/peers/{world.b.name}")["peer"]["ca_pem"]
    made = side.admin.call("POST", "sv2m-api", "/peers", {"peer": agreement})["peer"]["id"]
    try:

        def look() -> dict[str, Any] | None:
            event = _next(side, "info", "secure_migration.audit.created")
            return event if event is not None and event["target"]["id"] == made else None

        event = until(look, "the new agreement is notified")
    finally:
        side.admin.call("DELETE", "sv2m-api", f"/peers/{made}")
    assert event["typeURI"] == "http://schemas.dmtf.org/cloud/audit/1.0/event"
    assert (event["action"], event["outcome"]) == ("create", "success")
    (attached,) = event["attachments"]
    assert attached["content"]["agreement"]["name"] == "cloud-z.sv2m"
