# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ: a broker of its own for each cloud; no guest. SV2M's agent has a virtual host, and sees no other."""

from __future__ import annotations

import base64
import hashlib
import json
import os

from lab.cloud import PORTS, Cloud
from lab.ini import write_private
from lab.services.base import Component, Daemon, listens

#: Of the compute host's agent: the user, and what the virtual host is called before the compute host's name.
AGENT = "sv2m-agent"


def _hash(password: str) -> str:
    """RabbitMQ's rabbit_password_hashing_sha256: four bytes of salt, then SHA-256 of salt and password."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def agent_vhost(host: str) -> str:
    """The virtual host in which the agent of a compute host, or of `{host}`, is called."""
    return f"sv2m-agent-{host}"


def configure(cloud: Cloud) -> None:
    """The users come from a definitions file, because each call of rabbitmqctl starts an Erlang machine."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    own = agent_vhost(cloud.hostname)
    permissions = (("openstack", "/"), ("openstack", own), (AGENT, own))
    definitions = {
        "users": [
            {
                "name": user,
                "password_hash": _hash(cloud.credentials.password(f"rabbitmq-{user}")),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": [],
            }
            for user in ("openstack", AGENT)
        ],
        "vhosts": [{"name": "/"}, {"name": own}],
        "permissions": [{"user": user, "vhost": vhost, **everything} for user, vhost in permissions],
    }
    directory = cloud.etc / "rabbitmq"
    write_private(directory / "definitions.json", json.dumps(definitions))
    write_private(
        directory / "rabbitmq.conf",
        f"listeners.tcp.1 = 127.0.0.1:{PORTS['rabbitmq']}\n"
        f"load_definitions = {directory / 'definitions.json'}\n",
    )
    write_private(directory / "plugins", "[].\n")
    (cloud.directory / "rabbitmq").mkdir(parents=True, exist_ok=True)


def environment(cloud: Cloud) -> dict[str, str]:
    """RabbitMQ's environment; `rabbitmqctl` needs the same."""
    own = cloud.directory / "rabbitmq"
    return {
        "HOME": str(own),
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_MNESIA_BASE": str(own / "mnesia"),
        "RABBITMQ_LOG_BASE": str(cloud.log),
        "RABBITMQ_LOGS": str(cloud.log / "rabbitmq.log"),
        "RABBITMQ_CONFIG_FILE": str(cloud.etc / "rabbitmq" / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(cloud.etc / "rabbitmq" / "plugins"),
        "RABBITMQ_PID_FILE": str(cloud.run / "rabbitmq.pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }


EPMD = Daemon(
    "epmd", lambda cloud: ["/usr/bin/epmd", "-address", "127.0.0.1"], listens("epmd"), port=PORTS["epmd"]
)
BROKER = Daemon(
    "rabbitmq",
    lambda cloud: ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
    listens("rabbitmq"),
    environment=environment,
    port=PORTS["rabbitmq"],
    needs=("epmd",),
)
COMPONENT = Component("rabbitmq", configure, (EPMD, BROKER))
