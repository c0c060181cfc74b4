# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from sv2m import errors
from sv2m.clients.keystone import Keystone
from tests.unit.clients.conftest import AUTH, USER, Cloud, conf_with


def test_nothing_is_opened_before_it_is_used(cloud: Cloud) -> None:
    Keystone(conf_with()).session("x" * 32)
    assert cloud.tokens == []


def test_one_session_for_its_own_project_and_one_for_each_other(cloud: Cloud, keystone: Keystone) -> None:
    assert keystone.user_id() == USER
    keystone.session("p" * 32).get_token()
    assert cloud.tokens[0]["scope"]["project"]["name"] == "service"
    assert cloud.tokens[1]["scope"] == {"project": {"id": "p" * 32}}
    assert keystone.session("p" * 32) is keystone.session("p" * 32)


def test_membership_gives_every_role_and_forgets_the_token_without_them(
    cloud: Cloud, keystone: Keystone
) -> None:
    cloud.http.get(f"{AUTH}/roles?name=member", json={"roles": [{"id": "r1"}]})
    cloud.http.get(f"{AUTH}/roles?name=admin", json={"roles": [{"id": "r2"}]})
    given = [
        cloud.http.put(f"{AUTH}/projects/p1/users/{USER}/roles/{r}", status_code=204) for r in ("r1", "r2")
    ]
    before = keystone.session("p1")
    keystone.ensure_member("p1")
    assert [one.call_count for one in given] == [1, 1]
    assert keystone.session("p1") is not before


def test_a_role_that_does_not_exist_is_a_matter_of_configuration(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get(f"{AUTH}/roles", json={"roles": []})
    with pytest.raises(errors.ConfigurationError, match="no role member"):
        keystone.ensure_member("p1")


def test_a_project_that_does_not_exist(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get(f"{AUTH}/roles", json={"roles": [{"id": "r1"}]})
    cloud.http.put(
        f"{AUTH}/projects/p1/users/{USER}/roles/r1", status_code=404, json={"error": {"message": "no"}}
    )
    with pytest.raises(errors.NotFound, match="project p1"):
        keystone.ensure_member("p1")


@pytest.mark.parametrize("auth_type", [None, "nosuch"])
def test_incomplete_credentials_name_their_group(cloud: Cloud, auth_type: str | None) -> None:
    with pytest.raises(errors.ConfigurationError, match="service_credentials"):
        Keystone(conf_with(auth_type=auth_type)).user_id()
