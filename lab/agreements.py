# SPDX-License-Identifier: Apache-2.0
"""What the two clouds' operators agree on: each enrols with the trusted third party and enters the other as a peer."""

from __future__ import annotations

from lab import namespace
from lab.cloud import PORTS, Cloud
from lab.rest import Client
from lab.services import sv2m
from lab.services.base import program, service_environment
from lab.ttp.authority import Authority


def enrol(cloud: Cloud) -> None:
    """Get the cloud its evidence certificate, by EST, as `sv2m-manage certificate enrol` does for any operator."""
    command = [*program("sv2m-manage", sv2m.config(cloud)), "certificate", "enrol"]
    namespace.run(cloud, command, environment=service_environment(cloud), timeout=120)


def agree(cloud: Cloud) -> None:
    """Enter the other cloud as a peer in both directions; its servers come into the project `research`."""
    (other,) = (one for one in cloud.lab.clouds.values() if one is not cloud)
    client = Client(cloud)
    projects = client.call("GET", "keystone", "/projects?name=research")["projects"]
    peer = {
        "name": other.full_name,
        "url": f"https://{other.full_name}:{PORTS['sv2m-gateway']}",
        "ca_pem": Authority(cloud.lab).anchor.read_text(),
        "tls_ca_pem": (other.tls / "ca.pem").read_text(),
        "direction": "both",
        "project_id": projects[0]["id"],
    }
    client.call("POST", "sv2m-api", "/peers", {"peer": peer})
