# SPDX-License-Identifier: Apache-2.0
"""Each module's client and endpoint know the same methods and arguments; errors cross as what they are."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg
from oslo_messaging import conffixture

from sv2m import errors, rpc
from sv2m.edm import client as edm_client
from sv2m.edm.brokers import Brokers

MODULES = ("cmm", "azm", "lmm", "mam", "km")


def _exposed(endpoint: type) -> dict[str, set[str]]:
    return {
        name: set(inspect.signature(method).parameters) - {"self", "context"}
        for name, method in inspect.getmembers(endpoint, inspect.isfunction)
        if getattr(method, "exposed", False)
    }


@pytest.mark.parametrize("module", MODULES)
def test_client_and_endpoint_agree(module: str) -> None:
    endpoint = importlib.import_module(f"sv2m.{module}.server").Endpoint
    client = importlib.import_module(f"sv2m.{module}.client").Client
    methods = {
        name: set(inspect.signature(method).parameters) - {"self", "context"}
        for name, method in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_")
    }
    assert methods == _exposed(endpoint)
    assert endpoint.target.version == client.VERSION


class _Endpoint:
    target = oslo_messaging.Target(version="1.2")

    @oslo_messaging.expose
    def fits(
        self, context: dict[str, Any], *, needs: dict[str, Any], project_id: str | None
    ) -> dict[str, Any]:
        return {"fits": True, "host": needs["name"], "why": ""}

    @oslo_messaging.expose
    def hold(self, context: dict[str, Any], **_: Any) -> dict[str, Any]:
        try:
            raise ValueError("the peer says\x1b[2J\r\nERROR all is well")
        except ValueError as error:
            raise errors.NoRoom("no flavor here has 3 vCPUs", code="no-flavor", remedy="Ask.") from error


class _OldAgent:
    target = oslo_messaging.Target(version="1.0")

    @oslo_messaging.expose
    def describe(self, context: dict[str, Any], server_id: str) -> dict[str, Any]:
        return {"power": "running"}


@contextlib.contextmanager
def _served(topic: str, endpoint: object) -> Iterator[oslo_messaging.RPCTransport]:
    """The endpoint answers on the host "here"."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    messaging = conffixture.ConfFixture(conf)
    messaging.setUp()
    messaging.transport_url = "fake://"
    transport = rpc.transport(conf)
    server = rpc.server(transport, topic, "here", [endpoint])
    server.start()
    try:
        yield transport
    finally:
        server.stop()
        server.wait()
        messaging.cleanUp()


def test_an_agent_that_is_not_upgraded_yet_is_asked_for_all_that_it_knows() -> None:
    """Agents are upgraded host by host, after the engine."""
    with _served(rpc.TOPIC_EDM, _OldAgent()) as transport:
        client = edm_client.Client(Brokers(transport), 10)
        assert client.describe({}, "here", "s1") == {"power": "running"}
        with pytest.raises(errors.ServiceUnavailable, match="here is older than who asks it") as old:
            client.power({}, "here", "s1", 5)
        assert (old.value.code, old.value.fault) == ("module-too-old", "host")


class _Refusing:
    target = oslo_messaging.Target(version="1.0")

    @oslo_messaging.expose
    def refuse(self, context: dict[str, Any], fault: str) -> None:
        by = {"policy": errors.NoRoom, "host": errors.AgentLost, "internal": errors.SV2MError}
        raise by[fault]("no")


@pytest.mark.parametrize(
    ("fault", "level", "traceback"),
    [("policy", "INFO", False), ("host", "WARNING", False), ("internal", "ERROR", True)],
)
def test_a_refusal_is_one_line_in_the_log_and_a_bug_has_its_traceback(
    caplog: pytest.LogCaptureFixture, fault: str, level: str, traceback: bool
) -> None:
    caplog.set_level("INFO")
    with _served(rpc.TOPIC_LMM, _Refusing()) as transport, pytest.raises(errors.SV2MError):
        rpc.client(transport, rpc.TOPIC_LMM, "1.0", timeout=10).call({"migration_id": "m1"}, "refuse", fault=fault)
    told = [one for one in caplog.records if one.levelname == level]
    assert len(told) == 1
    assert bool(told[0].exc_info) is traceback
    assert traceback or told[0].getMessage().startswith("Migration m1: refuse: ")
    assert not [one for one in caplog.records if one.exc_info and not traceback]


def test_errors_cross_with_code_and_remedy() -> None:
    with _served(rpc.TOPIC_LMM, _Endpoint()) as transport:
        client = importlib.import_module("sv2m.lmm.client").Client(transport, 10)
        assert client.fits({}, {"name": "x"})["host"] == "x"
        with pytest.raises(errors.NoRoom) as caught:
            client.hold({}, "m1", {})
        # Without the traceback of over there, which oslo.messaging appends, and in which a peer may be quoted.
        assert str(caught.value) == caught.value.message == "no flavor here has 3 vCPUs"
        assert type(caught.value) is errors.NoRoom
        assert (caught.value.code, caught.value.remedy) == ("no-flavor", "Ask.")
