# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sv2m import errors
from sv2m.clients.keystone import Keystone
from sv2m.clients.nova import Nova
from tests.unit.clients.conftest import PROJECT, Cloud

NOVA = "http://nova.test/v2.1"
SERVER: dict[str, Any] = {
    "id": "s1",
    "name": "web",
    "status": "ACTIVE",
    "OS-EXT-STS:vm_state": "active",
    "OS-EXT-STS:task_state": None,
    "OS-EXT-STS:power_state": 1,
    "OS-EXT-SRV-ATTR:host": "compute-1",
    "tenant_id": "p1",
    "user_id": "u1",
    "locked": False,
    "config_drive": "",
    "flavor": {"vcpus": 1, "ram": 128, "disk": 1, "ephemeral": 0, "swap": 0, "extra_specs": {}},
    "os-extended-volumes:volumes_attached": [{"id": "v1"}],
    "image": "",
    "metadata": {},
}


def server(**changes: Any) -> dict[str, Any]:
    return {"json": {"server": {**SERVER, **changes}}}


@pytest.fixture
def nova(cloud: Cloud, keystone: Keystone) -> Nova:
    ticks = iter(range(1000))
    return Nova(keystone, sleep=lambda _: None, clock=lambda: next(ticks))


def test_a_server_as_the_conductor_wants_it(cloud: Cloud, nova: Nova) -> None:
    cloud.http.get(f"{NOVA}/servers/s1", **server())
    got = nova.get("s1")
    assert (got["status"], got["task_state"], got["power"], got["host"]) == (
        "ACTIVE",
        None,
        "running",
        "compute-1",
    )
    assert got["volume_ids"] == ["v1"]
    assert got["image_id"] is None
    assert got["flavor"]["ram"] == 128


def test_no_such_server(cloud: Cloud, nova: Nova) -> None:
    cloud.http.get(f"{NOVA}/servers/s1", status_code=404, json={"itemNotFound": {"message": "gone"}})
    with pytest.raises(errors.NotFound, match="read server s1: gone"):
        nova.get("s1")


def test_a_placeholder_claims_host_volume_and_port_and_bears_the_mark(cloud: Cloud, nova: Nova) -> None:
    made = cloud.http.post(f"{NOVA}/servers", json={"server": {"id": "s9"}})
    made_id = nova.create_placeholder(
        project_id=PROJECT,
        name="web",
        flavor_id="f1",
        host="compute-1",
        volume_ids=["v1", "v2"],
        image_id=None,
        port_ids=["n1"],
        migration_id="m1",
    )
    assert made_id == "s9"
    sent = made.last_request.json()["server"]
    assert sent["host"] == "compute-1"
    assert sent["networks"] == [{"port": "n1"}]
    assert sent["metadata"] == {"sv2m_migration": "m1"}
    assert sent["tags"] == ["sv2m:m1"]
    assert [one["boot_index"] for one in sent["block_device_mapping_v2"]] == [0, -1]
    assert not any(one["delete_on_termination"] for one in sent["block_device_mapping_v2"])
    assert cloud.tokens[-1]["scope"] == {"project": {"id": PROJECT}}


def test_a_placeholder_with_a_local_disk_and_no_nic(cloud: Cloud, nova: Nova) -> None:
    made = cloud.http.post(f"{NOVA}/servers", json={"server": {"id": "s9"}})
    cloud.http.get("http://glance.test/v2/images/i1", json={"id": "i1"})
    nova.create_placeholder(
        project_id=PROJECT,
        name="web",
        flavor_id="f1",
        host="",
        volume_ids=[],
        image_id="i1",
        port_ids=[],
        migration_id="m1",
    )
    sent = made.last_request.json()["server"]
    assert sent["imageRef"] == "i1"
    assert sent["networks"] == "none"
    assert "host" not in sent


def test_orphans_are_those_that_bear_the_mark(cloud: Cloud, nova: Nova) -> None:
    mine = {**SERVER, "id": "s2", "tenant_id": PROJECT, "metadata": {"sv2m_migration": "m1"}}
    arrived = {**mine, "id": "s3", "metadata": {"sv2m_migration": "arrived", "sv2m_arrived": "m1"}}
    earlier = {**mine, "id": "s5", "metadata": {"sv2m_migration": "m1", "sv2m_arrived": "m1"}}
    his = {**mine, "id": "s6", "metadata": {"sv2m_migration": "arrived"}}
    planted = {**mine, "id": "s4", "tenant_id": "somebody-else"}
    found = {"json": {"servers": [SERVER, mine, arrived, earlier, his, planted]}}
    listed = cloud.http.get(f"{NOVA}/servers/detail", **found)
    assert nova.find_placeholders("m1", PROJECT) == ["s2"]
    assert nova.find_arrived("m1", PROJECT) == ["s3", "s5"]
    assert listed.request_history[0].qs["tags"] == ["sv2m:m1"]
    assert listed.request_history[0].qs["all_tenants"] == ["1"]


def test_what_has_arrived_is_marked(cloud: Cloud, nova: Nova) -> None:
    """And its owner, who may take the mark off, does not make a placeholder of it."""
    sent = cloud.http.post(f"{NOVA}/servers/s1/metadata", json={"metadata": {}})
    nova.mark_arrived("s1", "m1")
    assert sent.last_request.json() == {"metadata": {"sv2m_migration": "arrived", "sv2m_arrived": "m1"}}


def test_a_placeholder_is_marked_whatever_its_project_wrote_on_it(cloud: Cloud, nova: Nova) -> None:
    """The mark of what has arrived, set before the server was locked, goes; the migration's own is set again."""
    sent = cloud.http.post(f"{NOVA}/servers/s1/metadata", json={"metadata": {}})
    gone = cloud.http.delete(f"{NOVA}/servers/s1/metadata/sv2m_arrived", status_code=204)
    cloud.http.get(f"{NOVA}/servers/s1", json={"server": {**SERVER, "metadata": {"sv2m_migration": "m1"}}})
    nova.mark_placeholder("s1", "m1")
    assert sent.last_request.json() == {"metadata": {"sv2m_migration": "m1"}}
    assert not gone.called
    cloud.http.get(f"{NOVA}/servers/s1", json={"server": {**SERVER, "metadata": {"sv2m_arrived": "m1"}}})
    nova.mark_placeholder("s1", "m1")
    assert gone.called


def test_one_server_is_asked_for_its_marks_and_not_for_its_tag(cloud: Cloud, nova: Nova) -> None:
    cloud.http.get(f"{NOVA}/servers/s1", json={"server": {**SERVER, "metadata": {"sv2m_arrived": "m1"}}})
    cloud.http.get(f"{NOVA}/servers/s2", json={"server": {**SERVER, "metadata": {"sv2m_migration": "m1"}}})
    cloud.http.get(f"{NOVA}/servers/s3", status_code=404)
    assert [nova.has_arrived(one, "m1") for one in ("s1", "s2", "s3")] == [True, False, False]
    assert [nova.is_placeholder(one, "m1") for one in ("s1", "s2", "s3")] == [False, True, False]


def test_waiting_wants_the_status_and_no_task(cloud: Cloud, nova: Nova) -> None:
    seen = cloud.http.get(
        f"{NOVA}/servers/s1", [server(**{"OS-EXT-STS:task_state": "pausing"}), server(status="PAUSED")]
    )
    assert nova.wait_for("s1", {"PAUSED"}, 10)["status"] == "PAUSED"
    assert seen.call_count == 2


def test_waiting_ends_with_novas_fault(cloud: Cloud, nova: Nova) -> None:
    cloud.http.get(
        f"{NOVA}/servers/s1", **server(status="ERROR", fault={"message": "No valid host", "code": 500})
    )
    with pytest.raises(errors.HostError, match="in ERROR: No valid host"):
        nova.wait_for("s1", {"ACTIVE"}, 10)


def test_waiting_has_an_end(cloud: Cloud, nova: Nova) -> None:
    cloud.http.get(f"{NOVA}/servers/s1", **server(status="BUILD"))
    with pytest.raises(errors.HostError, match=r"is BUILD \(task None\) after 3 s, not ACTIVE"):
        nova.wait_for("s1", {"ACTIVE"}, 3)


def test_settled_is_a_server_with_no_task_whatever_its_status(cloud: Cloud, nova: Nova) -> None:
    pausing = server(**{"OS-EXT-STS:task_state": "pausing"})
    asked = cloud.http.get(f"{NOVA}/servers/s1", [pausing, pausing, server(status="PAUSED", locked_reason="SV2M")])
    assert (nova.settle("s1", 60)["status"], nova.settle("s1", 60)["lock_reason"]) == ("PAUSED", "SV2M")
    assert asked.call_count == 4


def test_settling_has_an_end(cloud: Cloud, nova: Nova) -> None:
    cloud.http.get(f"{NOVA}/servers/s1", **server(**{"OS-EXT-STS:task_state": "pausing"}))
    with pytest.raises(errors.HostError, match=r"is ACTIVE \(task pausing\) after 3 s, not done with its task"):
        nova.settle("s1", 3)


@pytest.mark.parametrize(("last", "ours"), [("sv2m-user", True), ("owner", False), (None, False)])
def test_who_asked_for_the_last_pause(cloud: Cloud, keystone: Keystone, nova: Nova, last: str, ours: bool) -> None:
    users = {"sv2m-user": keystone.user_id(), "owner": "u1"}
    said = [("unpause", "owner", 30), ("pause", last, 20), ("pause", "owner", 10), ("create", "owner", 0)]
    actions = [
        {"action": action, "user_id": users.get(user), "start_time": f"2026-01-01T00:00:{at:02}.000000"}
        for action, user, at in said
        if last is not None or action != "pause"
    ]
    cloud.http.get(f"{NOVA}/servers/s1/os-instance-actions", json={"instanceActions": actions})
    assert nova.paused_by_us("s1") is ours


@pytest.mark.parametrize(
    ("stops", "noticed"),
    [
        ([("owner", 10), (None, 20)], datetime(2026, 1, 1, 0, 0, 20, tzinfo=UTC)),
        ([(None, 10), ("owner", 20)], None),
        ([], None),
    ],
    ids=["it ended by itself", "somebody stopped it", "nothing is recorded"],
)
def test_when_a_server_ended_by_itself(
    cloud: Cloud, nova: Nova, stops: list[tuple[str | None, int]], noticed: datetime | None
) -> None:
    said = [("start", "owner", 30), *(("stop", user, at) for user, at in stops), ("create", "owner", 0)]
    actions = [
        {"action": action, "user_id": user, "start_time": f"2026-01-01T00:00:{at:02}.000000"}
        for action, user, at in said
    ]
    cloud.http.get(f"{NOVA}/servers/s1/os-instance-actions", json={"instanceActions": actions})
    assert nova.ended_by_itself("s1") == noticed


def test_deleting_waits_and_gone_is_fine(cloud: Cloud, nova: Nova) -> None:
    gone = {"status_code": 404, "json": {"itemNotFound": {"message": "gone"}}}
    cloud.http.delete(f"{NOVA}/servers/s1", [{"status_code": 204}, gone])
    looks = cloud.http.get(f"{NOVA}/servers/s1", [server(), gone])
    nova.delete("s1", 10)
    nova.delete("s1", 10)
    assert looks.call_count == 2


def test_a_server_that_cannot_be_deleted(cloud: Cloud, nova: Nova) -> None:
    cloud.http.delete(f"{NOVA}/servers/s1", status_code=204)
    cloud.http.get(f"{NOVA}/servers/s1", **server(status="ERROR", fault={"message": "volume busy"}))
    with pytest.raises(errors.HostError, match="could not be deleted: volume busy"):
        nova.delete("s1", 10)


@pytest.mark.parametrize(
    ("act", "body"),
    [
        (lambda nova: nova.pause("s1"), {"pause": None}),
        (lambda nova: nova.unpause("s1"), {"unpause": None}),
        (lambda nova: nova.suspend("s1"), {"suspend": None}),
        (lambda nova: nova.lock("s1", "because"), {"lock": {"locked_reason": "because"}}),
        (lambda nova: nova.unlock("s1"), {"unlock": None}),
        (lambda nova: nova.reset_active("s1"), {"os-resetState": {"state": "active"}}),
    ],
)
def test_actions_are_sent_once(cloud: Cloud, nova: Nova, act: Any, body: dict[str, Any]) -> None:
    sent = cloud.http.post(f"{NOVA}/servers/s1/action", [{"status_code": 202}, {"status_code": 503}])
    act(nova)
    assert sent.last_request.json() == body
    with pytest.raises(errors.ServiceUnavailable):
        act(nova)
    assert sent.call_count == 2


def test_hypervisors_tell_the_host_and_whether_it_can_be_used(cloud: Cloud, nova: Nova) -> None:
    one = {
        "id": "h1",
        "hypervisor_hostname": "compute-1.example",
        "service": {"host": "compute-1"},
        "state": "up",
        "status": "enabled",
        "running_vms": 3,
    }
    down = {**one, "id": "h2", "state": "down"}
    cloud.http.get(f"{NOVA}/os-hypervisors/detail", json={"hypervisors": [one, down]})
    found = nova.hypervisors()
    assert [(h.id, h.host, h.usable, h.servers) for h in found] == [
        ("h1", "compute-1", True, 3),
        ("h2", "compute-1", False, 3),
    ]


@pytest.mark.parametrize(("states", "there"), [(["up"], True), (["down"], False), ([], False)])
def test_whether_a_hosts_nova_compute_is_there(cloud: Cloud, nova: Nova, states: list[str], there: bool) -> None:
    service = {"id": "1", "binary": "nova-compute", "host": "node-1", "status": "disabled"}
    found = [{**service, "state": one} for one in states]
    listed = cloud.http.get(f"{NOVA}/os-services", json={"services": found})
    if there:
        nova.check_compute("node-1")
    else:
        with pytest.raises(errors.ServiceUnavailable, match="node-1"):
            nova.check_compute("node-1")
    assert listed.last_request.qs == {"host": ["node-1"], "binary": ["nova-compute"]}


def test_a_server_that_nova_leaves_as_it_is_is_not_waited_for(cloud: Cloud, nova: Nova) -> None:
    """nova-compute failed, and Nova has nothing in hand any more."""
    cloud.http.get(f"{NOVA}/servers/s1", **server())
    with pytest.raises(errors.HostError, match="server s1 stays ACTIVE, and is not PAUSED"):
        nova.wait_for("s1", {"PAUSED"}, 10_000)


def test_a_server_that_nova_is_busy_with_now_and_then_is_waited_for(cloud: Cloud, nova: Nova) -> None:
    rests, busy = server(), server(**{"OS-EXT-STS:task_state": "pausing"})
    cloud.http.get(f"{NOVA}/servers/s1", [*[rests, busy] * 20, server(status="PAUSED")])
    assert nova.wait_for("s1", {"PAUSED"}, 10_000)["status"] == "PAUSED"
