# SPDX-License-Identifier: Apache-2.0
"""How long a module is waited for, and what is read when it does not answer: which one, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg
from oslo_messaging import conffixture

from sv2m import errors, rpc
from sv2m.azm import client as azm_client
from sv2m.cmm import client as cmm_client
from sv2m.edm import client as edm_client
from sv2m.edm.brokers import Brokers
from sv2m.engine import client as engine_client
from sv2m.km import client as km_client
from sv2m.lmm import client as lmm_client
from sv2m.mam import client as mam_client

VOLUME: dict[str, Any] = {"project_id": "p", "name": "n", "size_gb": 1, "eik_ref": None, "cipher": "", "key_size": 0}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How each call was sent; none is answered."""
    found: list[dict[str, Any]] = []

    def send(self: Any, target: Any, context: Any, message: Any, **how: Any) -> None:
        found.append({"method": message["method"], **how})
        raise oslo_messaging.MessagingTimeout("Timed out waiting for a reply to message ID 5")

    monkeypatch.setattr(oslo_messaging.Transport, "_send", send)
    return found


@pytest.fixture
def conf() -> Iterator[cfg.ConfigOpts]:
    made = cfg.ConfigOpts()
    made([], default_config_files=[])
    with conffixture.ConfFixture(made, transport_url="fake:/"):
        yield made


@pytest.mark.parametrize(
    ("topic", "client", "call"),
    [
        (rpc.TOPIC_CMM, cmm_client.Client, lambda one: one.certificate({})),
        (rpc.TOPIC_AZM, azm_client.Client, lambda one: one.may_accept({}, "b", {})),
        (rpc.TOPIC_LMM, lmm_client.Client, lambda one: one.release({}, "m")),
        (rpc.TOPIC_MAM, mam_client.Client, lambda one: one.nonce({})),
        (rpc.TOPIC_KM, km_client.Client, lambda one: one.grant({}, [], "u")),
        (rpc.TOPIC_KM, km_client.Client, lambda one: one.remove_imported({}, "m")),
        (rpc.TOPIC_CONDUCTOR, engine_client.Client, lambda one: one.receive({}, "", True)),
    ],
)
def test_a_module_that_does_not_answer_is_named(
    conf: cfg.ConfigOpts, sent: list[dict[str, Any]], topic: str, client: type, call: Callable[[Any], Any]
) -> None:
    with pytest.raises(errors.ServiceUnavailable, match=f"^{topic}, .* does not answer") as away:
        call(client(rpc.transport(conf), 5))
    assert (away.value.code, away.value.fault) == ("service-unavailable", "host")
    assert len(sent) == 1
    # A request that the broker lost is not waited for as long as an answer.
    assert sent[0]["call_monitor_timeout"] == (None if topic == rpc.TOPIC_CONDUCTOR else rpc.SILENCE)


def test_an_agent_that_does_not_answer_is_named_by_its_host(conf: cfg.ConfigOpts, sent: list[dict[str, Any]]) -> None:
    edm = edm_client.Client(Brokers(rpc.transport(conf)))
    with pytest.raises(errors.AgentLost, match="sv2m-agent on node1 does not answer"):
        edm.endpoint({}, "node1")
    with pytest.raises(errors.AgentLost, match="sv2m-agent on node1 does not answer"):
        edm.abort({}, "node1", "m", 17)
    assert sent[1]["timeout"] == 17


def test_a_volume_is_waited_for_while_km_gives_signs_of_life(conf: cfg.ConfigOpts, sent: list[dict[str, Any]]) -> None:
    km = km_client.Client(rpc.transport(conf), 5, 3600)
    with pytest.raises(errors.ServiceUnavailable):
        km.import_volume({}, "m", boot=True, **VOLUME)
    with pytest.raises(errors.ServiceUnavailable):
        km.remove_imported({}, "m", "p")
    for one in sent:
        assert one["timeout"] > 3600
        assert one["call_monitor_timeout"] < 60
