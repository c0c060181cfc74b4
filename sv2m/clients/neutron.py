# SPDX-License-Identifier: Apache-2.0
"""Neutron: the port that gives the landed server its MAC address back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from sv2m import errors
from sv2m.clients import quotas
from sv2m.clients.keystone import Keystone
from sv2m.clients.rest import RestService
from sv2m.clients.security_groups import SecurityGroups, arrived_name, made_name, refused

#: Seconds that Neutron gets to answer where a guest, or its owner, waits.
_MOMENT = 3.0


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
        self._groups = SecurityGroups(self._rest)

    def create(
        self, migration_id: str, project_id: str, network: str, mac_address: str, security_group: str | None = None
    ) -> Port:
        """Make a port with a given MAC address; the one that is there already is returned, if so.

        It is down: whatever the placeholder does when it boots (DHCP, PXE), it does not speak for a guest that runs
        elsewhere under this address. See :meth:`put_up`.

        :param network: name or id.
        :param security_group: the project's, by name or id. None makes one for this port that lets nothing in or out:
            nothing of the other cloud decides what may reach the server, and what this project lets reach its own
            servers was not decided for this one. On a network without port security no port can have any.
        :raises sv2m.errors.NotFound: the project sees no such network, or group.
        :raises sv2m.errors.ServerNotMovable: code ``mac-in-use``: another port there has this MAC address.
        :raises sv2m.errors.NoRoom: a quota of the project is used up, or the network has no address left.
        """
        for port in self.find(migration_id):
            if port.mac_address == mac_address.lower():
                return port
        found = self._network(project_id, network)
        wanted: dict[str, Any] = {
            "network_id": found["id"],
            "mac_address": mac_address,
            "name": made_name(migration_id),
            "admin_state_up": False,
        }
        if found.get("port_security_enabled", True):
            wanted["security_groups"] = [self._group(migration_id, project_id, security_group)]
        doing = f"make a port with MAC address {mac_address} on network {network}"
        answer = self._rest.request(
            doing, "POST", "/ports", json={"port": wanted}, project_id=project_id, accept=(HTTPStatus.CONFLICT,)
        )
        if answer.status_code == HTTPStatus.CONFLICT:
            # Somebody may have been quicker than our own look.
            self.check_mac(migration_id, project_id, network, mac_address)
            raise refused(doing, answer)
        return _port(answer.json()["port"])

    def _group(self, migration_id: str, project_id: str, name: str | None) -> str:
        if name is None:
            return self._groups.empty(migration_id, project_id)
        return self._groups.id_of(project_id, name)

    def check_mac(self, migration_id: str, project_id: str, network: str, mac_address: str) -> None:
        """Whether a port with this MAC address can be made.

        :raises sv2m.errors.ServerNotMovable: code ``mac-in-use``. It names the port only if it is the project's.
        """
        params = {"network_id": self.network_id(project_id, network), "mac_address": mac_address}
        listed = self._rest.json("list ports", "GET", "/ports", params=params)["ports"]
        found = [one for one in map(_port, listed) if one.mac_address == mac_address.lower()]
        for port in found:
            if port.name != made_name(migration_id):
                raise _mac_in_use(port, project_id)

    def check_quota(self, project_id: str, *, group: bool) -> None:
        """Whether a project may have one port more.

        :param group: and one security group more.
        :raises sv2m.errors.NoRoom: it may not; names the quotas, and what is missing.
        """
        doing = f"read the quotas of project {project_id}"
        body = self._rest.json(doing, "GET", f"/quotas/{project_id}/details")["quota"]
        wanted = {"port": 1, **({"security_group": 1} if group else {})}
        quotas.check(
            quotas.Quota(
                f"Neutron's of {kind.replace('_', ' ')}s",
                int(body[kind].get("limit", -1)),
                int(body[kind].get("used", 0)) + int(body[kind].get("reserved", 0)),
                number,
            )
            for kind, number in wanted.items()
            if kind in body
        )

    def put_up(self, migration_id: str, project_id: str) -> None:
        """What was made for a migration may speak from now on. May be repeated.

        The guest runs by now. So Neutron gets no longer than a moment; :meth:`mark_arrived` does it once more.
        """
        for port in self.find(migration_id, timeout=_MOMENT):
            if port.project_id == project_id:
                self._rest.request(
                    f"put port {port.id} up",
                    "PUT",
                    f"/ports/{port.id}",
                    json={"port": {"admin_state_up": True}},
                    accept=(404,),
                    timeout=_MOMENT,
                )

    def find(self, migration_id: str, **how: Any) -> list[Port]:
        """The ports that :meth:`create` made for a migration and that have not arrived.

        :param how: as for :meth:`sv2m.clients.rest.RestService.request`.
        """
        return self._named(made_name(migration_id), **how)

    def mark_arrived(self, migration_id: str, project_id: str) -> None:
        """The ports of a project that :meth:`find` finds are its own from now on, and it finds them no more.

        So are their security groups. May be repeated; one that its owner deletes at this moment is fine.
        """
        # Before the ports: while one bears its first name, this is done again.
        self._groups.mark_arrived(migration_id, project_id)
        for port in [one for one in self.find(migration_id) if one.project_id == project_id]:
            self._rest.request(
                f"mark port {port.id} as arrived",
                "PUT",
                f"/ports/{port.id}",
                json={"port": {"name": arrived_name(migration_id), "admin_state_up": True}},
                accept=(404,),
            )

    def find_arrived(self, migration_id: str, project_id: str) -> list[str]:
        """Ids of ports in a project that :meth:`mark_arrived` marked for a migration."""
        return [one.id for one in self._named(arrived_name(migration_id)) if one.project_id == project_id]

    def _named(self, name: str, **how: Any) -> list[Port]:
        found = self._rest.json("list ports", "GET", "/ports", params={"name": name}, **how)["ports"]
        # The answer decides what is deleted, so the name is looked at and not only asked for.
        return [_port(one) for one in found if one.get("name") == name]

    def delete_for(self, migration_id: str, project_id: str) -> None:
        """Delete the ports that :meth:`create` made in a project for a migration, with their security groups."""
        for port in self.find(migration_id):
            if port.project_id == project_id:
                self._delete(port.id)
        self._groups.delete_for(migration_id, project_id)

    def made_for(self, server_id: str) -> list[str]:
        """Ids of the ports of a server that :meth:`create` made, when it arrived here."""
        return [one.id for one in self._of(server_id) if one.name.startswith(made_name(""))]

    def others_of(self, server_id: str) -> list[str]:
        """Ids of a server's other ports: those that Nova made, and those that its owner did."""
        return [one.id for one in self._of(server_id) if not one.name.startswith(made_name(""))]

    def still_there(self, port_ids: Sequence[str]) -> list[Port]:
        """Those of these ports that are there, and on no server."""
        found = []
        for port_id in port_ids:
            answer = self._rest.request(f"read port {port_id}", "GET", f"/ports/{port_id}", accept=(404,))
            if answer.status_code == HTTPStatus.OK:
                found.append(_port(answer.json()["port"]))
        return [one for one in found if not one.device_id]

    def _of(self, server_id: str) -> list[Port]:
        body = self._rest.json("list ports", "GET", "/ports", params={"device_id": server_id})
        return [_port(one) for one in body["ports"] if one.get("device_id") == server_id]

    def network_id(self, project_id: str, name: str) -> str:
        """Id of the network that a project sees under this name or id.

        :raises sv2m.errors.NotFound: there is none, or more than one of that name.
        """
        return str(self._network(project_id, name)["id"])

    def _network(self, project_id: str, name: str) -> dict[str, Any]:
        for key in ("id", "name"):
            found = self._rest.json(
                f"find network {name}", "GET", "/networks", params={key: name}, project_id=project_id
            )["networks"]
            if len(found) == 1:
                network: dict[str, Any] = found[0]
                return network
        raise errors.NotFound(f"Neutron: project {project_id} sees no network, or several, of name {name}")

    def delete_port(self, port_id: str) -> None:
        """Delete a port that :meth:`create` made, and the group made with it, if that is as it came.

        That it is gone already is fine.
        """
        answer = self._rest.request(f"read port {port_id}", "GET", f"/ports/{port_id}", accept=(404,))
        self._delete(port_id)
        if answer.status_code == HTTPStatus.OK:
            port = _port(answer.json()["port"])
            self._groups.delete_unchanged(port.name, port.project_id)

    def _delete(self, port_id: str) -> None:
        self._rest.request(f"delete port {port_id}", "DELETE", f"/ports/{port_id}", accept=(404,))


def _mac_in_use(port: Port, project_id: str) -> errors.ServerNotMovable:
    """Whose port it is decides what may be said of it."""
    if port.project_id != project_id:
        said = f"a port on the network on which servers land has the MAC address {port.mac_address}"
    else:
        on = f"is on server {port.device_id}" if port.device_id else "is on no server"
        said = f"port {port.id} of the receiving project has the MAC address {port.mac_address}, and {on}"
    return errors.ServerNotMovable(
        said,
        code="mac-in-use",
        remedy="At the receiving cloud: delete that port, if it is left of this server's last stay there, and start a "
        "new migration. A server keeps its MAC address, which no two ports of a network share.",
    )


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
