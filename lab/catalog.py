# SPDX-License-Identifier: Apache-2.0
"""Users, projects and roles of a cloud, and its service catalog; the standard personas only."""

from __future__ import annotations

from lab.cloud import REGION, Cloud
from lab.rest import Client

#: (type, name, port, path) of every service but Keystone, which its own bootstrap enters.
SERVICES = (
    ("compute", "nova", "nova-api", "/v2.1"),
    ("placement", "placement", "placement", ""),
    ("image", "glance", "glance", ""),
    ("key-manager", "barbican", "barbican", ""),
    ("network", "neutron", "neutron", ""),
    ("block-storage", "cinder", "cinder-api", "/v3"),
    ("secure-migration", "sv2m", "sv2m-api", ""),
)
SERVICE_USERS = ("nova", "placement", "glance", "barbican", "neutron", "cinder", "sv2m")
#: SV2M's agent, whose project has nothing in it: it reads what keys it is lent, and may do nothing else.
AGENT, AGENTS = "sv2m-agent", "sv2m-agents"
#: Roles in the project `research`, which looks the same in both clouds and is another project in each.
RESEARCHERS = {
    "a": {"alice": "member", "bob": "reader", "mona": "manager"},
    "b": {"carol": "member", "bob": "reader", "mona": "manager"},
}
RESEARCH = "research"
#: Another customer of each cloud, and who manages his project.
NEIGHBOUR, NEIGHBOURS = "neighbour", {"olga": "manager"}


def project_of(user: str) -> str:
    """The project in which a user of the lab has a role."""
    if user == "admin":
        return "admin"
    if user in SERVICE_USERS:
        return "service"
    if user == AGENT:
        return AGENTS
    return NEIGHBOUR if user in NEIGHBOURS else RESEARCH


def enter(cloud: Cloud) -> None:
    """Create all of it, by Keystone's API, as the cloud's first administrator."""
    client = Client(cloud)
    roles = {role["name"]: role["id"] for role in client.call("GET", "keystone", "/roles")["roles"]}
    services = dict.fromkeys(SERVICE_USERS, ("admin", "service"))
    people = {
        RESEARCH: {user: (role,) for user, role in RESEARCHERS[cloud.name].items()},
        NEIGHBOUR: {user: (role,) for user, role in NEIGHBOURS.items()},
        AGENTS: {AGENT: ("reader",)},
    }
    for name, users in {**people, "service": services}.items():
        body = {"project": {"name": name, "domain_id": "default"}}
        project = client.call("POST", "keystone", "/projects", body)["project"]["id"]
        for user, given in users.items():
            _user(client, cloud, user, project, [roles[role] for role in given])
    for kind, name, port, path in SERVICES:
        service = client.call("POST", "keystone", "/services", {"service": {"type": kind, "name": name}})
        for interface in ("public", "internal"):
            endpoint = {
                "service_id": service["service"]["id"],
                "interface": interface,
                "url": cloud.url(port, path),
                "region_id": REGION,
            }
            client.call("POST", "keystone", "/endpoints", {"endpoint": endpoint})


def _user(client: Client, cloud: Cloud, name: str, project: str, roles: list[str]) -> None:
    user = {"name": name, "domain_id": "default", "password": cloud.credentials.password(name)}
    identifier = client.call("POST", "keystone", "/users", {"user": user})["user"]["id"]
    for role in roles:
        client.call("PUT", "keystone", f"/projects/{project}/users/{identifier}/roles/{role}")
