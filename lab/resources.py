# SPDX-License-Identifier: Apache-2.0
"""What an operator would give his users in a new cloud: flavors, volume types, images, a network."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from lab.cloud import Cloud
from lab.rest import ApiError, Client

#: name: (MiB of memory, GiB of disk); one virtual CPU each. Cloud B has no room for m1.medium.
FLAVORS = {"m1.tiny": (128, 1), "m1.small": (512, 2), "m1.medium": (3072, 1)}
GUEST_IMAGE = "sv2m-guest"
NETWORK = "net0"
_SUBNET = {"a": "192.168.10.0/24", "b": "192.168.20.0/24"}


def add_flavors(cloud: Cloud) -> None:
    client = Client(cloud)
    for name, (memory, disk) in FLAVORS.items():
        client.call(
            "POST",
            "nova-api",
            "/flavors",
            {"flavor": {"name": name, "ram": memory, "disk": disk, "vcpus": 1}},
        )


def add_volume_types(cloud: Cloud) -> None:
    """`plain`, and `luks`: encrypted by the hypervisor under a key that Cinder has made in Barbican."""
    client = Client(cloud)
    created = {}
    for name in ("plain", "luks"):
        answer = client.call(
            "POST", "cinder-api", f"/{client.token['project']['id']}/types", {"volume_type": {"name": name}}
        )
        created[name] = answer["volume_type"]["id"]
    encryption = {
        "provider": "luks",
        "cipher": "aes-xts-plain64",
        "key_size": 256,
        "control_location": "front-end",
    }
    path = f"/{client.token['project']['id']}/types/{created['luks']}/encryption"
    client.call("POST", "cinder-api", path, {"encryption": encryption})


def add_network(cloud: Cloud) -> None:
    client = Client(cloud)
    network = client.call("POST", "neutron", "/networks", {"network": {"name": NETWORK, "shared": True}})
    subnet = {"network_id": network["network"]["id"], "ip_version": 4, "cidr": _SUBNET[cloud.name]}
    client.call("POST", "neutron", "/subnets", {"subnet": {**subnet, "enable_dhcp": False}})


def add_image(cloud: Cloud, name: str, file: Path, properties: dict[str, str] | None = None) -> str:
    """Put a raw disk image into Glance for everybody, and return its id."""
    client = Client(cloud)
    body: dict[str, Any] = {
        "name": name,
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "public",
    }
    identifier: str = client.call("POST", "glance", "/images", {**body, **(properties or {})})["id"]
    with file.open("rb") as data:
        client.upload(f"/images/{identifier}/file", data, os.stat(file).st_size)
    return identifier


def await_compute(cloud: Cloud, timeout: float = 240.0) -> None:
    """Wait until Nova can schedule to the cloud's compute host and Cinder to its storage.

    Raises:
        TimeoutError: it took longer than `timeout` seconds
    """
    client = Client(cloud)
    deadline = time.monotonic() + timeout
    while not (_compute_ready(client) and _storage_ready(client)):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"cloud {cloud.name} has no usable compute host or storage; see the logs in {cloud.log}"
            )
        time.sleep(0.5)


def _compute_ready(client: Client) -> bool:
    """The host is known to Placement with an inventory, and mapped to its cell."""
    try:
        hosts = client.call("GET", "nova-api", "/os-hypervisors")["hypervisors"]
        providers = client.call("GET", "placement", "/resource_providers")["resource_providers"]
    except ApiError:
        return False
    if not (hosts and providers and hosts[0]["state"] == "up"):
        return False
    inventory = client.call("GET", "placement", f"/resource_providers/{providers[0]['uuid']}/inventories")
    return "MEMORY_MB" in inventory["inventories"]


def _storage_ready(client: Client) -> bool:
    answer = client.call("GET", "cinder-api", f"/{client.token['project']['id']}/os-services")
    up = {service["binary"] for service in answer["services"] if service["state"] == "up"}
    return {"cinder-volume", "cinder-scheduler"} <= up
