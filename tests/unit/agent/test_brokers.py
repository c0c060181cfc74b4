# SPDX-License-Identifier: Apache-2.0
"""Each compute host's agent may have a virtual host of the broker of its own."""

from __future__ import annotations

from typing import Any

import pytest
from oslo_config import cfg

import sv2m.conf
from sv2m import errors, rpc
from sv2m.edm.brokers import Brokers, brokers


class _Transport:
    def __init__(self) -> None:
        self.closed = False

    def cleanup(self) -> None:
        self.closed = True


class _Opened(dict[str, _Transport]):
    def __call__(self, host: str) -> Any:
        self[host] = _Transport()
        return self[host]


def options(url: str | None) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    sv2m.conf.register(conf)
    conf([], default_config_files=[])
    conf.set_override("agent_transport_url", url, "engine")
    return conf


def test_an_agent_is_called_in_the_virtual_host_that_bears_its_name() -> None:
    conf = options("rabbit://sv2m:secret@controller:5671/sv2m-agent-{host}?ssl=1")
    shared = rpc.transport(conf, "fake:/")
    with brokers(conf, shared).reaching("compute 1/x") as transport:
        assert transport is not shared
        # A host's name stays one part of the URL, whatever is in it.
        assert transport._driver._url.virtual_host == "sv2m-agent-compute 1/x"


def test_without_a_url_of_their_own_agents_are_called_like_everybody() -> None:
    conf = options(None)
    shared = rpc.transport(conf, "fake:/")
    with brokers(conf, shared).reaching("compute1") as transport:
        assert transport is shared


def test_a_url_that_is_the_same_for_all_hosts_is_refused() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"agent_transport_url has no \{host\}"):
        brokers(options("rabbit://sv2m@controller/agents"), None)


def test_the_host_called_longest_ago_is_hung_up_on_and_nobody_who_is_being_called() -> None:
    opened = _Opened()
    found = Brokers(None, opened, kept=2)
    with found.reaching("busy"):
        for host in ("one", "two", "three"):
            with found.reaching(host):
                pass
        assert {host for host, one in opened.items() if one.closed} == {"one", "two"}
    with found.reaching("three") as again:
        assert again is opened["three"]
    found.stop()
    assert all(one.closed for one in opened.values())
