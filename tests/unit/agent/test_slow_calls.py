# SPDX-License-Identifier: Apache-2.0
"""How long the engine waits for an agent: as long as it works, and hardly longer than it lives."""

from __future__ import annotations

from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg
from oslo_messaging import conffixture

from sv2m.edm.brokers import Brokers
from sv2m.edm.client import SLOW_TIMEOUT, Client
from sv2m.errors import AgentLost
from sv2m.rpc import SILENCE

MIGRATION = "6a1f8f0e-54a6-4c26-8f0f-6c6ad1c1c7a5"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def send(self: Any, target: Any, context: Any, message: Any, **how: Any) -> None:
        found.append({"method": message["method"], **how})
        raise oslo_messaging.MessagingTimeout("no sign of life")

    monkeypatch.setattr(oslo_messaging.Transport, "_send", send)
    return found


@pytest.fixture
def client() -> Client:
    conf = cfg.ConfigOpts()
    conf([])
    with conffixture.ConfFixture(conf, transport_url="fake:/"):
        return Client(Brokers(oslo_messaging.get_rpc_transport(conf)))


def test_an_agent_that_dies_in_a_slow_call_is_found_dead_long_before_the_call_would_end(
    client: Client, sent: list[dict[str, Any]]
) -> None:
    for call in (
        lambda: client.complete({}, "host", MIGRATION, "", []),
        lambda: client.start_destination({}, "host", MIGRATION, {}),
    ):
        with pytest.raises(AgentLost):
            call()
    for one in sent:
        assert (one["timeout"], one["call_monitor_timeout"]) == (SLOW_TIMEOUT, SILENCE)
    assert SILENCE < SLOW_TIMEOUT / 5


def test_a_quick_call_waits_for_its_answer_alone(client: Client, sent: list[dict[str, Any]]) -> None:
    with pytest.raises(AgentLost):
        client.status({}, "host", MIGRATION)
    assert sent[0]["call_monitor_timeout"] is None
