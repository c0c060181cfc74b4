# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

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


GONE: dict[str, Any] = {"status_code": 404, "json": {"itemNotFound": {"message": "gone"}}}
#: HTTP 500 as Nova says it of a server whose cell does not answer, to a request below 2.69.
BROKEN: dict[str, Any] = {"status_code": 500, "json": {"computeFault": {"message": "Unexpected API Error."}}}


def asked_for(cloud: Cloud, *answers: dict[str, Any]) -> Any:
    """Actions on server s1."""
    return cloud.http.post(f"{NOVA}/servers/s1/action", list(answers or [{"status_code": 202}]))


def test_deleting_is_for_good_and_waits_and_gone_is_fine(cloud: Cloud, nova: Nova) -> None:
    asked = asked_for(cloud, {"status_code": 202}, GONE)
    cloud.http.get(f"{NOVA}/servers/s1", [server(**{"OS-EXT-STS:task_state": "deleting"}), GONE])
    nova.delete("s1", 10)
    nova.delete("s1", 10)
    assert [one.json() for one in asked.request_history] == [{"forceDelete": None}] * 2


class Nova34:
    """Its ``API._delete`` (nova/compute/api.py) for one server, where [DEFAULT] reclaim_instance_interval is set."""

    def __init__(self, cloud: Cloud) -> None:
        self.shown: dict[str, Any] = server()
        self.marked = 0
        cloud.http.delete(f"{NOVA}/servers/s1", status_code=204, json=self._soft)
        cloud.http.post(f"{NOVA}/servers/s1/action", json=self._act)
        cloud.http.get(f"{NOVA}/servers/s1", json=self._show)

    def soft_deleted(self) -> None:
        self.shown = server(status="SOFT_DELETED", **{"OS-EXT-STS:vm_state": "soft-delete"})

    def _soft(self, request: Any, context: Any) -> None:
        self.marked += 1
        self.soft_deleted()

    def _act(self, request: Any, context: Any) -> None:
        assert request.json() == {"forceDelete": None}
        context.status_code = 202
        if self.shown["json"]["server"]["OS-EXT-STS:task_state"] != "soft-deleting":
            self.shown = GONE

    def _show(self, request: Any, context: Any) -> Any:
        shown, context.status_code = self.shown, self.shown.get("status_code", 200)
        if context.status_code == 200 and shown["json"]["server"]["OS-EXT-STS:task_state"] == "soft-deleting":
            self.soft_deleted()
        return shown["json"]


@pytest.mark.parametrize("status", ["ACTIVE", "SUSPENDED", "SOFT_DELETED", "ERROR", "BUILD"])
def test_where_deletions_are_deferred_ours_is_not(cloud: Cloud, nova: Nova, status: str) -> None:
    """Each ordinary one would begin the time anew after which Nova reclaims the server, and no migration would end."""
    there = Nova34(cloud)
    there.shown = server(status=status)
    nova.delete("s1", 300)
    assert there.shown == GONE
    assert there.marked == 0


def test_a_server_that_somebody_is_just_soft_deleting_is_deleted_when_that_is_done(cloud: Cloud, nova: Nova) -> None:
    there = Nova34(cloud)
    there.shown = server(**{"OS-EXT-STS:task_state": "soft-deleting"})
    nova.delete("s1", 300)
    assert there.shown == GONE


def test_a_server_that_cannot_be_deleted(cloud: Cloud, nova: Nova) -> None:
    asked_for(cloud)
    cloud.http.get(f"{NOVA}/servers/s1", **server(status="ERROR", fault={"message": "volume busy"}))
    with pytest.raises(errors.HostError, match="could not be deleted: volume busy"):
        nova.delete("s1", 10)


def test_a_server_that_nova_will_not_delete_is_not_waited_for_to_the_end(cloud: Cloud, nova: Nova) -> None:
    """disable_terminate: Nova takes the request, with 202, and does nothing."""
    asked_for(cloud)
    cloud.http.get(f"{NOVA}/servers/s1", **server())
    with pytest.raises(errors.HostError, match="is to be deleted and stays ACTIVE") as raised:
        nova.delete("s1", 10_000)
    assert "disable_terminate" in raised.value.remedy


def test_a_soft_deleted_server_bears_its_mark_still(cloud: Cloud, nova: Nova) -> None:
    """An administrator may restore it: it is not gone."""
    kept = {**SERVER, "id": "s2", "tenant_id": PROJECT, "metadata": {"sv2m_migration": "m1"}, "status": "SOFT_DELETED"}
    deleted = {**kept, "id": "s3", "status": "DELETED"}
    cloud.http.get(f"{NOVA}/servers/detail", json={"servers": []})
    trash = f"{NOVA}/servers/detail?deleted=True&soft_deleted=True&tags=sv2m:m1&all_tenants=1"
    cloud.http.get(trash, json={"servers": [kept, deleted]})
    assert nova.find_placeholders("m1", PROJECT) == ["s2"]


def test_a_placeholder_that_was_soft_deleted_is_not_waited_for(cloud: Cloud, nova: Nova) -> None:
    cloud.http.get(f"{NOVA}/servers/s1", **server(status="SOFT_DELETED"))
    with pytest.raises(errors.HostError, match="stays SOFT_DELETED"):
        nova.wait_for("s1", {"SUSPENDED"}, 10_000)


#: What Nova 34 shows of a server in a cell whose database does not answer (``_show_from_down_cell``).
UNKNOWN: dict[str, Any] = {
    "json": {
        "server": {
            "id": "s1",
            "status": "UNKNOWN",
            "tenant_id": "p1",
            "created": "2026-01-01T00:00:00Z",
            "user_id": "u1",
            "links": [],
            "OS-EXT-AZ:availability_zone": "nova",
            "OS-EXT-STS:power_state": 0,
            "flavor": SERVER["flavor"],
            "image": "",
        }
    }
}


@pytest.mark.parametrize(
    "ask",
    [
        lambda nova: nova.find_placeholders("m1", PROJECT),
        lambda nova: nova.find_arrived("m1", PROJECT),
        lambda nova: nova.is_placeholder("s1", "m1"),
        lambda nova: nova.has_arrived("s1", "m1"),
        lambda nova: nova.get("s1"),
        lambda nova: nova.settle("s1", 100),
        lambda nova: nova.delete("s1", 100),
    ],
    ids=["placeholders", "arrived", "is placeholder", "has arrived", "get", "settle", "delete"],
)
def test_what_a_cell_that_does_not_answer_hides_is_not_taken_for_gone(cloud: Cloud, nova: Nova, ask: Any) -> None:
    """Nova leaves its servers out of lists, and what it was about to delete there it does not find."""
    cloud.http.get(f"{NOVA}/servers/detail", json={"servers": []})
    cloud.http.get(f"{NOVA}/servers/s1", **GONE)
    asked_for(cloud, GONE)
    cloud.hosts("up", "unknown")
    with pytest.raises(errors.ServiceUnavailable, match="a cell does not answer, among its hosts compute-1"):
        ask(nova)


@pytest.mark.parametrize("look", [1, 2], ids=["before", "after"])
def test_a_cell_that_answers_only_sometimes_hides_too(cloud: Cloud, nova: Nova, look: int) -> None:
    cloud.http.get(f"{NOVA}/servers/detail", json={"servers": []})
    up = {"binary": "nova-compute", "host": "n1", "id": "c1", "state": "up", "status": "enabled"}
    unknown = {"binary": "nova-compute", "host": "n1", "status": "UNKNOWN"}
    looks = [{"json": {"services": [unknown if number == look else up]}} for number in (1, 2)]
    cloud.http.get(f"{NOVA}/os-services?binary=nova-compute", looks)
    with pytest.raises(errors.ServiceUnavailable, match="a cell does not answer"):
        nova.find_placeholders("m1", PROJECT)


@pytest.mark.parametrize(
    "ask",
    [
        lambda nova: nova.get("s1"),
        lambda nova: nova.is_placeholder("s1", "m1"),
        lambda nova: nova.has_arrived("s1", "m1"),
        lambda nova: nova.settle("s1", 100),
        lambda nova: nova.wait_for("s1", {"ACTIVE"}, 100),
        lambda nova: nova.delete("s1", 100),
    ],
    ids=["get", "is placeholder", "has arrived", "settle", "wait for", "delete"],
)
def test_a_server_in_a_cell_that_does_not_answer_is_neither_there_nor_gone(
    cloud: Cloud, nova: Nova, ask: Any
) -> None:
    cloud.http.get(f"{NOVA}/servers/s1", **UNKNOWN)
    asked_for(cloud)
    with pytest.raises(errors.ServiceUnavailable, match="s1 is in a cell that does not answer"):
        ask(nova)


def test_a_host_in_a_cell_that_does_not_answer_does_not_report(cloud: Cloud, nova: Nova) -> None:
    cloud.hosts("unknown")
    with pytest.raises(errors.ServiceUnavailable, match="does not report"):
        nova.check_compute("compute-0")


@pytest.mark.parametrize("failure", [BROKEN, {"status_code": 503}, {"exc": requests.ConnectTimeout}, UNKNOWN])
def test_a_look_that_fails_now_and_then_does_not_end_a_wait(
    cloud: Cloud, nova: Nova, failure: dict[str, Any]
) -> None:
    pausing = server(**{"OS-EXT-STS:task_state": "pausing"})
    cloud.http.get(f"{NOVA}/servers/s1", [*[pausing, failure, failure] * 5, server(status="PAUSED")])
    assert nova.wait_for("s1", {"PAUSED"}, 1000)["status"] == "PAUSED"


def test_a_nova_that_fails_and_fails_ends_a_wait(cloud: Cloud, nova: Nova) -> None:
    seen = cloud.http.get(f"{NOVA}/servers/s1", [server(status="BUILD"), BROKEN])
    with pytest.raises(errors.HostError, match="HTTP 500"):
        nova.wait_for("s1", {"ACTIVE"}, 100_000)
    assert seen.call_count < 20


def test_a_long_wait_asks_less_and_less_often(cloud: Cloud, keystone: Keystone) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    looks = cloud.http.get(f"{NOVA}/servers/s1", **server(status="BUILD"))
    with pytest.raises(errors.HostError, match="after 600 s"):
        Nova(keystone, sleep=sleep, clock=lambda: now).wait_for("s1", {"ACTIVE"}, 600)
    # Every quarter of a second it would be asked 2400 times; and in the first five seconds it is.
    assert looks.call_count < 220


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


@pytest.mark.parametrize("status", ["SHUTOFF", "RESCUE", "SHELVED_OFFLOADED"])
def test_a_server_that_has_ended_is_not_waited_for_at_all(cloud: Cloud, nova: Nova, status: str) -> None:
    """It was powered off from within just when it was to be paused."""
    busy = server(**{"OS-EXT-STS:task_state": "pausing"})
    looks = cloud.http.get(f"{NOVA}/servers/s1", [busy, server(status=status), server(status="PAUSED")])
    with pytest.raises(errors.HostError, match=f"stays {status}, and is not PAUSED"):
        nova.wait_for("s1", {"PAUSED"}, 10_000)
    assert looks.call_count == 2


def test_what_happens_meanwhile_ends_a_wait(cloud: Cloud, nova: Nova) -> None:
    def fail() -> None:
        raise errors.AgentLost("gone meanwhile")

    cloud.http.get(f"{NOVA}/servers/s1", **server())
    with pytest.raises(errors.AgentLost, match="meanwhile"):
        nova.wait_for("s1", {"PAUSED"}, 10_000, meanwhile=fail)
    cloud.http.get(f"{NOVA}/servers/s1", **server(status="PAUSED"))
    assert nova.wait_for("s1", {"PAUSED"}, 10_000, meanwhile=fail)["status"] == "PAUSED"


def test_a_server_that_nova_is_busy_with_now_and_then_is_waited_for(cloud: Cloud, nova: Nova) -> None:
    rests, busy = server(), server(**{"OS-EXT-STS:task_state": "pausing"})
    cloud.http.get(f"{NOVA}/servers/s1", [*[rests, busy] * 20, server(status="PAUSED")])
    assert nova.wait_for("s1", {"PAUSED"}, 10_000)["status"] == "PAUSED"
