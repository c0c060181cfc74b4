# SPDX-License-Identifier: Apache-2.0
"""The port of an arriving server at a Neutron: closed, silent until the guest runs, and then its owner's."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import requests

from sv2m import errors
from sv2m.clients.keystone import Keystone
from sv2m.clients.neutron import Neutron
from tests.unit.clients.conftest import PROJECT, Cloud

MIGRATION = "99999999-9999-4999-8999-999999999999"
MAC = "fa:16:3e:00:00:01"
NAME, ARRIVED = f"sv2m-{MIGRATION}", f"sv2m-arrived-{MIGRATION}"
URL = "http://neutron.test/v2.0"


class Api:
    """Ports, groups and rules as Neutron keeps them: each new group gets the operator's template rules."""

    def __init__(self, cloud: Cloud) -> None:
        self.kept: dict[str, dict[str, dict[str, Any]]] = {"ports": {}, "security-groups": {}}
        self.networks: list[dict[str, Any]] = [{"id": "n1", "name": "net0"}]
        self.full: set[str] = set()
        self.clinging = False
        self._number = itertools.count(1)
        http = cloud.http
        http.get(f"{URL}/networks", json=lambda request, _: {"networks": self._matching(self.networks, request)})
        for kind in self.kept:
            one = re.compile(f"{URL}/{kind}/([^/?]+)$")
            http.get(re.compile(f"{URL}/{kind}([?].*)?$"), json=self._list)
            http.post(f"{URL}/{kind}", json=self._make)
            http.get(one, json=self._show)
            http.put(one, json=self._change)
            http.delete(one, json=self._remove)
        http.delete(re.compile(f"{URL}/security-group-rules/"), json=self._remove_rule, status_code=204)
        self.default = self.group("default", rules=4)

    @property
    def ports(self) -> list[dict[str, Any]]:
        return list(self.kept["ports"].values())

    @property
    def groups(self) -> list[dict[str, Any]]:
        return [one for one in self.kept["security-groups"].values() if one["name"] != "default"]

    def group(self, name: str, *, rules: int = 2, project: str = PROJECT) -> str:
        made = {"id": f"g{next(self._number)}", "name": name, "project_id": project}
        made["security_group_rules"] = [{"id": f"{made['id']}-{rule}"} for rule in range(rules)]  # type: ignore[assignment]
        self.kept["security-groups"][made["id"]] = made
        return made["id"]

    def port(self, name: str, *, project: str = PROJECT, mac: str = MAC, device: str = "", **more: Any) -> str:
        made = {"id": f"p{next(self._number)}", "name": name, "project_id": project, "network_id": "n1", **more}
        self.kept["ports"][made["id"]] = {**made, "mac_address": mac, "device_id": device}
        return str(made["id"])

    def _kind(self, request: Any) -> str:
        return str(request.path.split("/")[2])

    def _matching(self, found: Any, request: Any) -> list[dict[str, Any]]:
        asked = {key: values[0] for key, values in request.qs.items()}
        return [one for one in found if all(str(one.get(key, "")).lower() == value for key, value in asked.items())]

    def _list(self, request: Any, _: Any) -> Any:
        kind = self._kind(request)
        return {kind.replace("-", "_"): self._matching(self.kept[kind].values(), request)}

    def _refuse(self, context: Any, kind: str) -> Any:
        context.status_code = 409
        return {"NeutronError": {"type": kind, "message": f"{kind} it is", "detail": ""}}

    def _make(self, request: Any, context: Any) -> Any:
        kind, (what, wanted) = self._kind(request), next(iter(request.json().items()))
        if kind in self.full:
            return self._refuse(context, "OverQuota")
        context.status_code = 201
        if what == "security_group":
            return {what: self.kept[kind][self.group(wanted["name"])]}
        if any(one["mac_address"] == wanted["mac_address"] for one in self.ports):
            return self._refuse(context, "MacAddressInUse")
        wanted = {key: value for key, value in wanted.items() if key not in ("name", "mac_address", "network_id")} | {
            "name": wanted["name"],
            "mac": wanted["mac_address"],
        }
        return {what: self.kept[kind][self.port(**wanted)]}

    def _one(self, request: Any, context: Any) -> tuple[str, dict[str, Any] | None]:
        kind, name = self._kind(request), request.path.rsplit("/", 1)[-1]
        found = self.kept[kind].get(name)
        context.status_code = 200 if found is not None else 404
        return kind.removesuffix("s").replace("-", "_"), found

    def _show(self, request: Any, context: Any) -> Any:
        what, found = self._one(request, context)
        return {what: found}

    def _change(self, request: Any, context: Any) -> Any:
        what, found = self._one(request, context)
        if found is not None:
            found.update(request.json()[what])
        return {what: found}

    def _remove(self, request: Any, context: Any) -> Any:
        what, found = self._one(request, context)
        if found is None:
            return None
        if what == "security_group" and any(found["id"] in one.get("security_groups", ()) for one in self.ports):
            return self._refuse(context, "SecurityGroupInUse")
        context.status_code = 204
        del self.kept[self._kind(request)][found["id"]]
        return None

    def _remove_rule(self, request: Any, _: Any) -> None:
        rule = request.path.rsplit("/", 1)[-1]
        for group in self.kept["security-groups"].values():
            if not self.clinging:
                group["security_group_rules"] = [one for one in group["security_group_rules"] if one["id"] != rule]


@pytest.fixture
def api(cloud: Cloud) -> Api:
    return Api(cloud)


@pytest.fixture
def neutron(api: Api, keystone: Keystone) -> Neutron:
    return Neutron(keystone)


def make(neutron: Neutron, group: str | None = None) -> str:
    return neutron.create(MIGRATION, PROJECT, "net0", MAC, group).id


def test_a_port_comes_down_and_with_a_group_that_lets_nothing_through(
    cloud: Cloud, api: Api, neutron: Neutron
) -> None:
    """The default group lets in every member of itself, and whatever the project added for other servers."""
    port = make(neutron)
    (group,) = api.groups
    assert (group["name"], group["security_group_rules"]) == (NAME, [])
    (made,) = api.ports
    assert (made["id"], made["name"], made["mac_address"]) == (port, NAME, MAC)
    assert (made["admin_state_up"], made["security_groups"]) == (False, [group["id"]])
    assert {"project": {"id": PROJECT}} in [one.get("scope") for one in cloud.tokens]


def test_whatever_was_made_before_a_kill_is_used_again(api: Api, neutron: Neutron) -> None:
    left = api.group(NAME)
    port = make(neutron)
    assert [one["id"] for one in api.groups] == [left]
    assert api.groups[0]["security_group_rules"] == []
    assert neutron.create(MIGRATION, PROJECT, "net0", MAC.upper()).id == port
    assert len(api.ports) == 1


def test_a_group_of_this_name_in_another_project_is_nobodys_here(api: Api, neutron: Neutron) -> None:
    strange = api.group(NAME, project="somebody-else")
    make(neutron)
    assert api.ports[0]["security_groups"] != [strange]
    neutron.delete_for(MIGRATION, PROJECT)
    assert [one["id"] for one in api.groups] == [strange]
    assert len(api.groups[0]["security_group_rules"]) == 2


def test_a_group_that_keeps_its_rules_is_not_used(api: Api, neutron: Neutron) -> None:
    api.clinging = True
    with pytest.raises(errors.HostError, match="keeps 2 rules"):
        make(neutron)
    assert api.ports == []


@pytest.mark.parametrize("named", [None, "default"])
def test_where_the_network_filters_nothing_no_port_can_have_a_group(
    api: Api, neutron: Neutron, named: str | None
) -> None:
    api.networks[0]["port_security_enabled"] = False
    port = neutron.create(MIGRATION, PROJECT, "net0", MAC, named)
    assert port.security_groups == ()
    assert "security_groups" not in api.ports[0]
    assert api.groups == []


@pytest.mark.parametrize("by", ["name", "id"])
def test_an_operator_may_name_a_group_of_the_project(api: Api, neutron: Neutron, by: str) -> None:
    api.group("default", project="somebody-else")
    make(neutron, "default" if by == "name" else api.default)
    assert api.ports[0]["security_groups"] == [api.default]
    assert api.groups == []


def test_a_group_that_the_project_does_not_have(api: Api, neutron: Neutron) -> None:
    with pytest.raises(errors.NotFound, match="no security group, or several, of name arrivals"):
        make(neutron, "arrivals")
    assert api.ports == []


def test_a_port_goes_up_when_it_is_told_to(api: Api, neutron: Neutron) -> None:
    make(neutron)
    other = api.port(NAME, project="somebody-else", mac="fa:16:3e:00:00:02", admin_state_up=False)
    neutron.put_up(MIGRATION, PROJECT)
    assert {one["id"]: one["admin_state_up"] for one in api.ports}[other] is False
    assert [one["admin_state_up"] for one in api.ports if one["id"] != other] == [True]


def test_a_neutron_that_hangs_is_not_waited_for_while_the_receipt_waits(
    cloud: Cloud, api: Api, neutron: Neutron
) -> None:
    make(neutron)
    neutron.put_up(MIGRATION, PROJECT)
    looked, put = cloud.http.request_history[-2:]
    assert [(one.method, one.timeout) for one in (looked, put)] == [("GET", 3.0), ("PUT", 3.0)]
    cloud.http.get(re.compile(f"{URL}/ports"), exc=requests.ReadTimeout)
    with pytest.raises(errors.ServiceUnavailable):
        neutron.put_up(MIGRATION, PROJECT)


def test_what_has_arrived_is_up_and_its_owners_with_its_group(api: Api, neutron: Neutron) -> None:
    port = make(neutron)
    neutron.mark_arrived(MIGRATION, PROJECT)
    neutron.mark_arrived(MIGRATION, PROJECT)
    assert (api.ports[0]["name"], api.ports[0]["admin_state_up"]) == (ARRIVED, True)
    assert [one["name"] for one in api.groups] == [ARRIVED]
    assert neutron.find(MIGRATION) == []
    assert neutron.find_arrived(MIGRATION, PROJECT) == [port]
    neutron.delete_for(MIGRATION, PROJECT)
    assert api.ports and api.groups


def test_an_undoing_leaves_neither_port_nor_group(api: Api, neutron: Neutron) -> None:
    make(neutron)
    api.port(NAME, project="somebody-else", mac="fa:16:3e:00:00:02")
    neutron.delete_for(MIGRATION, PROJECT)
    neutron.delete_for(MIGRATION, PROJECT)
    assert ([one["project_id"] for one in api.ports], api.groups) == (["somebody-else"], [])


def test_a_group_that_the_project_has_put_on_a_port_of_its_own_keeps_nobody_from_undoing(
    api: Api, neutron: Neutron
) -> None:
    make(neutron)
    api.port("web", mac="fa:16:3e:00:00:02", security_groups=[api.groups[0]["id"]])
    neutron.delete_for(MIGRATION, PROJECT)
    assert ([one["name"] for one in api.ports], len(api.groups)) == (["web"], 1)


@pytest.mark.parametrize("rules", [0, 1])
def test_when_a_server_leaves_again_its_port_goes_and_the_group_if_it_is_as_it_came(
    api: Api, neutron: Neutron, rules: int
) -> None:
    group = api.group(ARRIVED, rules=rules)
    port = api.port(ARRIVED, device="s1", security_groups=[group])
    own = api.port("web", device="s1", mac="fa:16:3e:00:00:02")
    assert (neutron.made_for("s1"), neutron.others_of("s1")) == ([port], [own])
    neutron.delete_port(port)
    neutron.delete_port(port)
    assert [one["id"] for one in api.ports] == [own]
    assert len(api.groups) == rules


def test_which_ports_a_server_leaves_behind(api: Api, neutron: Neutron) -> None:
    """Nova deletes those that it made; those that the owner made stay, with their addresses."""
    own = api.port("web")
    again = api.port("db", device="another-server", mac="fa:16:3e:00:00:02")
    assert [one.id for one in neutron.still_there([own, again, "gone"])] == [own]


TAKEN = {
    "left of the last stay": (PROJECT, "", "port p.* of the receiving project .* is on no server"),
    "on a server": (PROJECT, "s7", "port p.* of the receiving project .* is on server s7"),
    "another project's": ("somebody-else", "s7", "^a port on the network on which servers land"),
}


@pytest.mark.parametrize("late", [False, True], ids=["at the offer", "while it is made"])
@pytest.mark.parametrize(("project", "device", "said"), TAKEN.values(), ids=TAKEN)
def test_a_mac_address_that_is_taken_is_told_with_the_port_if_it_is_the_projects_own(
    api: Api, neutron: Neutron, project: str, device: str, said: str, late: bool
) -> None:
    api.port("his-secret-name", project=project, device=device)
    ask = neutron.create if late else neutron.check_mac
    with pytest.raises(errors.ServerNotMovable, match=said) as raised:
        ask(MIGRATION, PROJECT, "net0", MAC)
    assert raised.value.code == "mac-in-use"
    whole = raised.value.message + raised.value.remedy
    assert "his-secret-name" not in whole and "somebody-else" not in whole
    assert (project == PROJECT) or "s7" not in whole


def test_the_migrations_own_port_takes_its_address_from_nobody(api: Api, neutron: Neutron) -> None:
    make(neutron)
    neutron.check_mac(MIGRATION, PROJECT, "net0", MAC)


@pytest.mark.parametrize(("kind", "word"), [("ports", "quota of ports"), ("security-groups", "quota of security")])
def test_a_quota_that_is_used_up_is_called_so(api: Api, neutron: Neutron, kind: str, word: str) -> None:
    api.full.add(kind)
    with pytest.raises(errors.NoRoom, match=word):
        make(neutron)


def test_another_conflict_is_a_conflict(cloud: Cloud, api: Api, neutron: Neutron) -> None:
    cloud.http.post(f"{URL}/ports", status_code=409, json={"NeutronError": {"type": "Other", "message": "busy"}})
    with pytest.raises(errors.HostError) as caught:
        make(neutron)
    assert caught.value.code == "service-conflict"
