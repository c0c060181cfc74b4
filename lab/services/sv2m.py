# SPDX-License-Identifier: Apache-2.0
"""SV2M itself, configured as an operator would: API, gateway, engine on the controller, agent on the compute host."""

from __future__ import annotations

import socket
from pathlib import Path

from lab.catalog import AGENT as AGENT_USER
from lab.catalog import AGENTS
from lab.cloud import PEER_ADDRESS, PORTS, REGION, Cloud
from lab.ini import write_ini
from lab.resources import NETWORK
from lab.services import rabbitmq
from lab.services.base import Component, Daemon, answers_http, authtoken, credentials, logged, program
from lab.ttp.timestamping import POLICY


def config(cloud: Cloud) -> Path:
    """What API, gateway and engine read."""
    return cloud.etc / "sv2m" / "sv2m.conf"


def agent_config(cloud: Cloud) -> Path:
    """What the agent reads: no database, no right in the cloud, a broker's virtual host of its own."""
    return cloud.etc / "sv2m" / "agent.conf"


def configs(cloud: Cloud) -> tuple[Path, ...]:
    """Every file that a program of SV2M reads."""
    return config(cloud), agent_config(cloud)


def configure(cloud: Cloud) -> None:
    (cloud.directory / "sv2m").mkdir(mode=0o700, parents=True, exist_ok=True)
    own = credentials(cloud, "sv2m")
    # The room in which the empty databases are made has no network.
    address = PEER_ADDRESS.get(cloud.name, "127.0.0.1")
    write_ini(
        config(cloud),
        {
            "DEFAULT": {
                "log_dir": cloud.log,
                "cloud_name": cloud.full_name,
                "host": cloud.hostname,
                "transport_url": cloud.transport_url(),
            },
            "database": {"connection": cloud.database_url("sv2m", "sv2m")},
            "keystone_authtoken": authtoken(cloud, "sv2m"),
            "service_credentials": {**own, "region_name": REGION},
            "gateway": {
                "listen_address": address,
                "port": PORTS["sv2m-gateway"],
                "certificate_file": cloud.tls / "gateway.pem",
                "private_key_file": cloud.tls / "gateway.key",
            },
            "cmm": {
                "est_url": f"https://ttp.sv2m:{PORTS['ttp']}/.well-known/est",
                "est_cafile": cloud.lab.ttp.directory / "ca.pem",
                "est_username": cloud.full_name,
                "est_password": cloud.credentials.password("est"),
                "crl_url": f"http://ttp.sv2m:{PORTS['ttp-crl']}/crl.der",
            },
            "engine": {
                "landing_network": NETWORK,
                "agent_transport_url": cloud.transport_url(vhost=rabbitmq.agent_vhost("{host}")),
            },
            "evidence": {
                "tsa_url": f"http://ttp.sv2m:{PORTS['ttp-crl']}/tsa",
                "tsa_cafile": cloud.lab.ttp.directory / "ca.pem",
                "tsa_policy": POLICY,
            },
            "oslo_messaging_rabbit": {"heartbeat_in_pthread": True},
            "oslo_messaging_notifications": {"driver": "messagingv2"},
        },
    )
    _configure_agent(cloud, address)


def _configure_agent(cloud: Cloud, address: str) -> None:
    vhost = rabbitmq.agent_vhost(cloud.hostname)
    write_ini(
        agent_config(cloud),
        {
            "DEFAULT": {
                "log_dir": cloud.log,
                "host": cloud.hostname,
                "transport_url": cloud.transport_url(rabbitmq.AGENT, vhost),
            },
            "service_credentials": credentials(cloud, AGENT_USER, AGENTS),
            "agent": {
                "state_path": cloud.directory / "sv2m" / "agent",
                "data_listen_address": address,
                "data_endpoint_host": address,
                "data_port": PORTS["sv2m-agent"],
            },
            "oslo_messaging_rabbit": {"heartbeat_in_pthread": True},
        },
    )


def _schema(cloud: Cloud) -> list[list[str]]:
    return [[*program("sv2m-manage", config(cloud)), "db", "sync"]]


def _listens(cloud: Cloud, address: str, port: str) -> bool:
    try:
        socket.create_connection((address, PORTS[port]), 1).close()
    except OSError:
        return False
    return True


ENGINE = Daemon(
    "sv2m-engine",
    lambda cloud: program("sv2m-engine", config(cloud)),
    logged("sv2m-engine.log", "Engine is ready"),
    needs=("mariadb", "rabbitmq", "catalog", "certificate"),
)
AGENT = Daemon(
    "sv2m-agent",
    lambda cloud: program("sv2m-agent", agent_config(cloud)),
    logged("sv2m-agent.log", "Agent is ready"),
    needs=("rabbitmq", "catalog", "libvirtd"),
    port=PORTS["sv2m-agent"],
)
GATEWAY = Daemon(
    "sv2m-gateway",
    lambda cloud: program("sv2m-gateway", config(cloud)),
    lambda cloud: _listens(cloud, cloud.address, "sv2m-gateway"),
    needs=("rabbitmq",),
    port=PORTS["sv2m-gateway"],
)
API = Daemon(
    "sv2m-api",
    lambda cloud: program("sv2m-api", config(cloud)),
    answers_http("sv2m-api"),
    needs=("mariadb", "rabbitmq", "catalog"),
    port=PORTS["sv2m-api"],
)
COMPONENT = Component("sv2m", configure, (API, GATEWAY, ENGINE, AGENT), ("sv2m",), _schema)
