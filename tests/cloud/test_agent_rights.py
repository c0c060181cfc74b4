# SPDX-License-Identifier: Apache-2.0
"""Root on a compute host holds what its agent's configuration holds: that is no right in the cloud."""

from __future__ import annotations

import configparser
from urllib.parse import SplitResult, urlsplit

import kombu
import pytest
from amqp.exceptions import AccessRefused, NotAllowed

from lab import catalog
from lab.rest import ApiError, Client
from lab.services import rabbitmq, sv2m
from tests.cloud.world import Side, World


def _written(side: Side) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None, strict=False)
    found.read(sv2m.agent_config(side.session.cloud))
    return found


def _refused(client: Client, service: str, path: str) -> int:
    with pytest.raises(ApiError) as refused:
        client.call("GET", service, path)
    return int(refused.value.status)


def test_the_agents_configuration_has_no_password_but_its_own(world: World) -> None:
    for side in (world.a, world.b):
        written = _written(side)
        assert not {"database", "keystone_authtoken"} & set(written.sections())
        assert written["service_credentials"]["username"] == catalog.AGENT
        assert written["DEFAULT"]["transport_url"].startswith(f"rabbit://{rabbitmq.AGENT}:")
        text = sv2m.agent_config(side.session.cloud).read_text()
        assert side.session.cloud.credentials.password("sv2m") not in text


def test_the_agents_user_sees_no_server_and_reads_no_key(world: World) -> None:
    """Between two jobs; what it is lent in one, the migrations of this directory show by going well."""
    cloud = world.a.session.cloud
    server = world.a.manager.boot("seen-by-nobody", volume_type="luks")
    with world.a.session.in_network():
        agent = Client(cloud, catalog.AGENT, catalog.AGENTS)
        secrets = Client(cloud, "sv2m", "service").call("GET", "barbican", "/secrets?limit=100")["secrets"]
        assert agent.call("GET", "nova-api", "/servers")["servers"] == []
        assert _refused(agent, "nova-api", "/servers?all_tenants=1") == 403
        assert _refused(agent, "nova-api", f"/servers/{server}") == 404
        assert secrets, "this cloud's evidence key is one"
        for secret in secrets:
            path = "/secrets/" + secret["secret_ref"].rsplit("/", 1)[-1]
            assert _refused(agent, "barbican", f"{path}/payload") == 403


def test_the_agents_broker_user_reaches_its_own_virtual_host_alone(world: World) -> None:
    """So it can ask no module for a signature or a key, and give no other agent an order."""
    side = world.a
    url = urlsplit(_written(side)["DEFAULT"]["transport_url"])
    own = rabbitmq.agent_vhost(side.session.cloud.hostname)
    with side.session.in_network():
        _connect(url, own)
        for other in ("/", rabbitmq.agent_vhost("another")):
            with pytest.raises((AccessRefused, NotAllowed)):
                _connect(url, other)


def _connect(url: SplitResult, vhost: str) -> None:
    where = {"hostname": url.hostname, "port": url.port, "userid": url.username, "password": url.password}
    with kombu.Connection(transport="pyamqp", virtual_host=vhost, **where) as connection:
        connection.ensure_connection(max_retries=1)
