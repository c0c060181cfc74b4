# SPDX-License-Identifier: Apache-2.0
"""The security group of an arriving server's port: nothing in, nothing out, until its owner says more.

Neutron puts the project's default group on a port of which nobody says more. That one admits, as it comes, every member
of itself, and whatever the project has added for other servers: which may be wider than what the server had at A, and
nobody would have decided so. A group that is made has rules, too, from the operator's template; they are taken out.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from sv2m import errors
from sv2m.clients.failures import from_status, words
from sv2m.clients.rest import RestService

LOG = logging.getLogger(__name__)

_DESCRIPTION = (
    "Made by SV2M for the port of the server that came in migration {id}. It has no rules, and so lets nothing in or "
    "out: add rules, or give the port other groups."
)


def made_name(migration_id: str) -> str:
    """Name of what was made for a migration, by which it is found again."""
    return f"sv2m-{migration_id}"


def arrived_name(migration_id: str) -> str:
    """Name of what has arrived with a migration, and is its owner's."""
    # Begins as the name of any port that SV2M has made: such a one goes with its server when that leaves again.
    return made_name(f"arrived-{migration_id}")


def refused(doing: str, answer: Any) -> errors.SV2MError:
    """The error for a 409 of Neutron's, by the type that it gives."""
    try:
        kind = str(answer.json()["NeutronError"]["type"])
    except (ValueError, KeyError, TypeError):
        kind = ""
    if kind == "OverQuota":
        what = "security groups" if "group" in doing else "ports"
        return errors.NoRoom(f"the receiving project's quota of {what} at Neutron is used up")
    if kind == "IpAddressGenerationFailure":
        return errors.NoRoom("the network on which servers land has no address left")
    request_id = answer.headers.get("x-openstack-request-id")
    return from_status("Neutron", doing, HTTPStatus.CONFLICT, words(answer), request_id)


class SecurityGroups:
    """Neutron's security groups, as far as an arriving server needs them."""

    def __init__(self, rest: RestService) -> None:
        self._rest = rest

    def id_of(self, project_id: str, name: str) -> str:
        """Id of a project's group.

        :param name: or its id.
        :raises sv2m.errors.NotFound: it has none of that name, or several.
        """
        for key in ("id", "name"):
            found = [one for one in self._list(**{key: name}) if one["project_id"] == project_id]
            if len(found) == 1:
                return str(found[0]["id"])
        raise errors.NotFound(f"Neutron: project {project_id} has no security group, or several, of name {name}")

    def empty(self, migration_id: str, project_id: str) -> str:
        """Make a group without rules for a migration, or empty the one that is there, and return its id.

        :raises sv2m.errors.NoRoom: the project may have no more groups.
        :raises sv2m.errors.HostError: Neutron does not let go of its rules.
        """
        found = self._of(migration_id, project_id) or [self._make(migration_id, project_id)]
        group = str(found[0]["id"])
        for rule in self._rules(group):
            path = f"/security-group-rules/{rule}"
            self._rest.request(f"take rule {rule} out of group {group}", "DELETE", path, accept=(404,))
        if left := self._rules(group):
            raise errors.HostError(f"Neutron: security group {group} keeps {len(left)} rules that were taken out")
        return group

    def mark_arrived(self, migration_id: str, project_id: str) -> None:
        """A project's groups that were made for a migration are its own from now on. May be repeated."""
        for group in self._of(migration_id, project_id):
            self._rest.request(
                f"mark security group {group['id']} as arrived",
                "PUT",
                f"/security-groups/{group['id']}",
                json={"security_group": {"name": arrived_name(migration_id)}},
                accept=(404,),
            )

    def delete_for(self, migration_id: str, project_id: str) -> None:
        """Delete a project's groups that were made for a migration."""
        for group in self._of(migration_id, project_id):
            self._delete(str(group["id"]))

    def delete_unchanged(self, name: str, project_id: str) -> None:
        """Delete a project's group of this name, made with a port that is gone, if nobody has put rules into it."""
        for group in self._list(name=name):
            if group["project_id"] == project_id and not self._rules(str(group["id"])):
                self._delete(str(group["id"]))

    def _delete(self, group: str) -> None:
        doing = f"delete security group {group}"
        answer = self._rest.request(
            doing, "DELETE", f"/security-groups/{group}", accept=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        )
        if answer.status_code == HTTPStatus.CONFLICT:
            # The project has put it on a port of its own meanwhile: it is in use, and lets nothing in or out.
            LOG.warning("Security group %s is on another port, too; it stays", group)

    def _make(self, migration_id: str, project_id: str) -> dict[str, Any]:
        wanted = {"name": made_name(migration_id), "description": _DESCRIPTION.format(id=migration_id)}
        doing = "make a security group"
        answer = self._rest.request(
            doing,
            "POST",
            "/security-groups",
            json={"security_group": wanted},
            project_id=project_id,
            accept=(HTTPStatus.CONFLICT,),
        )
        if answer.status_code == HTTPStatus.CONFLICT:
            raise refused(doing, answer)
        group: dict[str, Any] = answer.json()["security_group"]
        return group

    def _rules(self, group: str) -> list[str]:
        shown = self._rest.json(f"read security group {group}", "GET", f"/security-groups/{group}")["security_group"]
        return [str(rule["id"]) for rule in shown.get("security_group_rules") or ()]

    def _of(self, migration_id: str, project_id: str) -> list[dict[str, Any]]:
        # Anybody may give a group of his own this name.
        return [one for one in self._list(name=made_name(migration_id)) if one["project_id"] == project_id]

    def _list(self, **params: str) -> list[dict[str, Any]]:
        found = self._rest.json("list security groups", "GET", "/security-groups", params=params)["security_groups"]
        # The answer decides what is deleted, so it is looked at and not only asked for.
        return [one for one in found if all(one.get(key) == value for key, value in params.items())]
