# SPDX-License-Identifier: Apache-2.0
"""The caller's own rights: nothing is asked with any other token than his."""

from __future__ import annotations

from typing import Any

import pytest
import requests_mock
from keystoneauth1 import fixture as ks_fixture

from sv2m import errors
from sv2m.api.ports import VolumeSecret
from sv2m.clients.caller import CallerServices
from sv2m.clients.keystone import Keystone
from tests.unit.clients.conftest import AUTH, ENDPOINTS, USER, Cloud

TOKEN = "the-callers-token"
SERVER = "11111111-1111-4111-8111-111111111111"
SECRET = "http://barbican.test/v1/secrets/55555555-5555-4555-8555-555555555555"


@pytest.fixture
def caller(cloud: Cloud, keystone: Keystone) -> CallerServices:
    token = ks_fixture.V3Token(user_id="somebody", project_id="callers-project")
    for kind, url in ENDPOINTS.items():
        token.add_service(kind).add_standard_endpoints(public=url, internal=url)
    cloud.http.get(f"{AUTH}/auth/tokens", json=token)
    nova = ks_fixture.DiscoveryList(v2=False, v3=False)
    nova.add_nova_microversion(
        href=f"{ENDPOINTS['compute']}/", id="v2.1", status="CURRENT", version="2.96", min_version="2.1"
    )
    cloud.http.get(ENDPOINTS["compute"], json=nova)
    return CallerServices(keystone)


def only_the_callers_token(http: requests_mock.Mocker, host: str) -> None:
    sent = [one for one in http.request_history if one.netloc == host and "X-Auth-Token" in one.headers]
    assert sent
    assert {one.headers["X-Auth-Token"] for one in sent} == {TOKEN}


def acl(cloud: Cloud, read: dict[str, Any]) -> list[Any]:
    """Barbican's access list of the secret; what is written to it."""
    written: list[Any] = []

    def put(request: Any, context: Any) -> dict[str, Any]:
        written.append(request.json())
        return {"acl_ref": f"{SECRET}/acl"}

    cloud.http.get(f"{SECRET}/acl", json={"read": read} if read else {})
    cloud.http.put(f"{SECRET}/acl", json=put)
    return written


def test_server_as_the_caller_sees_it(caller: CallerServices, cloud: Cloud) -> None:
    server = {
        "id": SERVER,
        "name": "web",
        "tenant_id": "p1",
        "status": "ACTIVE",
        "locked": True,
        "OS-EXT-STS:task_state": "pausing",
        "os-extended-volumes:volumes_attached": [{"id": "v1"}, {"id": "v2"}],
    }
    cloud.http.get(f"http://nova.test/v2.1/servers/{SERVER}", json={"server": server})
    found = caller.get(TOKEN, SERVER)
    assert (found.name, found.project_id, found.status) == ("web", "p1", "ACTIVE")
    assert (found.task_state, found.volume_ids, found.locked) == ("pausing", ("v1", "v2"), True)
    only_the_callers_token(cloud.http, "nova.test")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, errors.NotFound),
        (403, errors.PolicyError),
        (401, errors.PolicyError),
        (503, errors.ServiceUnavailable),
    ],
)
def test_what_nova_refuses(
    caller: CallerServices, cloud: Cloud, status: int, error: type[errors.SV2MError]
) -> None:
    cloud.http.get(f"http://nova.test/v2.1/servers/{SERVER}", status_code=status, json={})
    with pytest.raises(error):
        caller.get(TOKEN, SERVER)


def test_a_token_that_is_over(caller: CallerServices, cloud: Cloud) -> None:
    cloud.http.get(f"{AUTH}/auth/tokens", status_code=404, json={"error": {"message": "no such token"}})
    with pytest.raises(errors.SV2MError):
        caller.get(TOKEN, SERVER)


def test_secrets_of_the_encrypted_volumes(caller: CallerServices, cloud: Cloud) -> None:
    key = SECRET.rsplit("/", 1)[-1]
    cloud.http.get("http://cinder.test/v3/volumes/v1/encryption", json={"encryption_key_id": key})
    cloud.http.get("http://cinder.test/v3/volumes/v2/encryption", json={})
    assert caller.find(TOKEN, ["v1", "v2"]) == [VolumeSecret("v1", SECRET)]
    only_the_callers_token(cloud.http, "cinder.test")


@pytest.mark.parametrize(
    ("read", "written"),
    [
        ({}, {"users": [USER], "project-access": True}),
        ({"project-access": True}, {"users": [USER], "project-access": True}),
        (
            {"users": ["other"], "project-access": False},
            {"users": ["other", USER], "project-access": False},
        ),
    ],
)
def test_grant_keeps_what_was_there(
    caller: CallerServices, cloud: Cloud, read: dict[str, Any], written: dict[str, Any]
) -> None:
    writes = acl(cloud, read)
    assert not caller.granted(TOKEN, SECRET)
    caller.grant(TOKEN, SECRET)
    assert writes == [{"read": written}]
    only_the_callers_token(cloud.http, "barbican.test")


def test_grant_of_what_is_granted(caller: CallerServices, cloud: Cloud) -> None:
    writes = acl(cloud, {"users": ["other", USER], "project-access": True})
    assert caller.granted(TOKEN, SECRET)
    caller.grant(TOKEN, SECRET)
    assert writes == []


def test_grant_by_somebody_who_does_not_own_it(caller: CallerServices, cloud: Cloud) -> None:
    acl(cloud, {})
    cloud.http.put(f"{SECRET}/acl", status_code=403, json={})
    with pytest.raises(errors.PolicyError, match="Barbican") as caught:
        caller.grant(TOKEN, SECRET)
    assert "project that owns the server" in caught.value.remedy


def test_revoke_takes_off_one_user(caller: CallerServices, cloud: Cloud) -> None:
    writes = acl(cloud, {"users": ["other", USER], "project-access": False})
    caller.revoke(TOKEN, SECRET)
    assert writes == [{"read": {"users": ["other"], "project-access": False}}]
    acl(cloud, {"users": ["other"]})
    caller.revoke(TOKEN, SECRET)
    cloud.http.get(f"{SECRET}/acl", status_code=404, json={})
    caller.revoke(TOKEN, SECRET)


@pytest.mark.parametrize("status", [403, 500, 503])
def test_whoever_cannot_take_it_back_is_told_how_he_can(caller: CallerServices, cloud: Cloud, status: int) -> None:
    acl(cloud, {"users": [USER]})
    cloud.http.put(f"{SECRET}/acl", status_code=status, json={})
    with pytest.raises(errors.KeyManagerError, match="may still be on the access list") as caught:
        caller.revoke(TOKEN, SECRET)
    assert f"openstack acl user remove --user {USER} --operation-type read {SECRET}" in caught.value.remedy


def test_a_token_never_reaches_a_log(
    caller: CallerServices, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    acl(cloud, {})
    caller.grant(TOKEN, SECRET)
    assert TOKEN not in caplog.text
