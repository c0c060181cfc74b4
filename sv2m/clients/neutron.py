# SPDX-License-Identifier: Apache-2.0
"""Neutron: the port that gives the landed server its MAC address back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sv2m import errors
from sv2m.clients.keystone import Keystone
from sv2m.clients.rest import RestService


@dataclass(frozen=True)
class Port:
    """A Neutron port."""

    id: str
    name: str
    mac_address: str
    network_id: str
    device_id: str
    security_groups: tuple[str, ...]
    addresses: tuple[str, ...]
    project_id: str = ""


class Neutron:
    """Neutron's API, as far as SV2M needs it."""

    def __init__(self, keystone: Keystone) -> None:
        self._rest = RestService(keystone, "Neutron", "network", major=2)

    def create(self, migration_id: str, project_id: str, network: str, mac_address: str) -> str:
        """Make a port with a given MAC address, and return its id; the one that is there already, if so.

        No security group is named, so that Neutron applies the project's default one: nothing of the other
        cloud decides what may reach the server.

        :param network: name or id.
        :raises sv2m.errors.NotFound: the project sees no such network.
        :raises sv2m.errors.HostError: code ``service-conflict`` when the MAC address is in use there.
        """
        for port in self.find(migration_id):
            if port.mac_address == mac_address.lower():
                return port.id
        wanted = {
            "network_id": self.network_id(project_id, network),
            "mac_address": mac_address,
            "name": _name(migration_id),
        }
        made = self._rest.json(
            f"make a port with MAC address {mac_address} on network {network}",
            "POST",
            "/ports",
            json={"port": wanted},
            project_id=project_id,
        )
        return str(made["port"]["id"])

    def find(self, migration_id: str) -> list[Port]:
        """The ports that :meth:`create` made for a migration and that have not arrived."""
        return self._named(_name(migration_id))

    def mark_arrived(self, migration_id: str, project_id: str) -> None:
        """The ports of a project that :meth:`find` finds are its own from now on, and it finds them no more.

        May be repeated; one that its owner deletes at this moment is fine.
        """
        for port in [one for one in self.find(migration_id) if one.project_id == project_id]:
            self._rest.request(
                f"mark port {port.id} as arrived",
                "PUT",
                f"/ports/{port.id}",
                json={"port": {"name": _arrived_name(migration_id)}},
                accept=(404,),
            )

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        """Ids of ports in a project that :meth:`mark_arrived` marked for a migration."""
        return [one.id for one in self._named(_arrived_name(migration_id)) if one.project_id == project_id]

    def _named(self, name: str) -> list[Port]:
        found = self._rest.json("list ports", "GET", "/ports", params={"name": name})["ports"]
        # The answer decides what is deleted, so the name is looked at and not only asked for.
        return [_port(one) for one in found if one.get("name") == name]

    def delete_for(self, migration_id: str) -> None:
        """Delete the ports that :meth:`create` made for a migration."""
        for port in self.find(migration_id):
            self.delete_port(port.id)

    def made_for(self, server_id: str) -> list[str]:
        """Ids of the ports of a server that :meth:`create` made, when it arrived here."""
        body = self._rest.json("list ports", "GET", "/ports", params={"device_id": server_id})
        return [str(one["id"]) for one in body["ports"] if str(one.get("name")).startswith(_name(""))]

    def network_id(self, project_id: str, name: str) -> str:
        """Id of the network that a project sees under this name or id.

        :raises sv2m.errors.NotFound: there is none, or more than one of that name.
        """
        for key in ("id", "name"):
            found = self._rest.json(
                f"find network {name}", "GET", "/networks", params={key: name}, project_id=project_id
            )["networks"]
            if len(found) == 1:
                return str(found[0]["id"])
        raise errors.NotFound(f"Neutron: project {project_id} sees no network, or several, of name {name}")

    def delete_port(self, port_id: str) -> None:
        """Delete a port; that it is gone already is fine."""
        self._rest.request(f"delete port {port_id}", "DELETE", f"/ports/{port_id}", accept=(404,))


def _name(migration_id: str) -> str:
    return f"sv2m-{migration_id}"


def _arrived_name(migration_id: str) -> str:
    # Begins as the name of any port that SV2M has made: such a one goes with its server when that leaves again.
    return _name(f"arrived-{migration_id}")


def _port(body: Mapping[str, Any]) -> Port:
    return Port(
        id=body["id"],
        name=body.get("name") or "",
        mac_address=str(body["mac_address"]).lower(),
        network_id=body["network_id"],
        device_id=body.get("device_id") or "",
        security_groups=tuple(body.get("security_groups") or ()),
        addresses=tuple(str(one["ip_address"]) for one in body.get("fixed_ips") or ()),
        project_id=body.get("project_id") or body.get("tenant_id") or "",
    )
