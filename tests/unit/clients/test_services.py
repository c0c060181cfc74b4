# SPDX-License-Identifier: Apache-2.0
"""Placement, Cinder, Neutron and Glance."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from sv2m import errors
from sv2m.clients.cinder import Cinder
from sv2m.clients.glance import BLANK_SIZE, Glance
from sv2m.clients.keystone import Keystone
from sv2m.clients.placement import Placement
from sv2m.clients.storage import Storage
from tests.unit.clients.conftest import PROJECT, Cloud

MIGRATION = "5b0dfd1c-71f1-4b0c-9d4f-0a4d6d5a0001"
VOLUME = {"id": "v1", "name": "root", "status": "available", "size": 3, "bootable": "true", "encrypted": True}


def test_what_changes_something_is_sent_once_what_reads_is_tried_again(
    cloud: Cloud, keystone: Keystone
) -> None:
    lost = {"exc": requests.exceptions.ConnectionError}
    put = cloud.http.put("http://placement.test/allocations/m1", **lost)
    get = cloud.http.get("http://placement.test/allocations/m1", [lost, {"json": {"allocations": {}}}])
    placement = Placement(keystone)
    with pytest.raises(errors.ServiceUnavailable, match="Placement: cannot allocate for m1"):
        placement.allocate("m1", {"rp": {"VCPU": 1}}, consumer_type="T", project_id="p", user_id="u")
    assert put.call_count == 1
    assert placement.allocations("m1") == {}
    assert get.call_count == 2


def test_an_allocation_is_for_a_consumer_that_must_be_new(cloud: Cloud, keystone: Keystone) -> None:
    put = cloud.http.put(
        "http://placement.test/allocations/m1", [{"status_code": 204}, {"status_code": 409, "json": {}}]
    )
    asked = {"consumer_type": "SV2M_OFFER", "project_id": "p", "user_id": "u"}
    assert Placement(keystone).allocate("m1", {"rp": {"VCPU": 1}}, **asked)
    assert not Placement(keystone).allocate("m1", {"rp": {"VCPU": 1}}, **asked)
    sent = put.request_history[0]
    assert sent.json()["consumer_generation"] is None
    assert sent.json()["allocations"] == {"rp": {"resources": {"VCPU": 1}}}
    assert sent.headers["OpenStack-API-Version"] == "placement 1.38"


def test_releasing_what_is_not_held_is_fine(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.delete(
        "http://placement.test/allocations/m1", [{"status_code": 204}, {"status_code": 404, "json": {}}]
    )
    assert Placement(keystone).release("m1")
    assert not Placement(keystone).release("m1")


def test_capacity_counts_reservation_and_ratio(cloud: Cloud, keystone: Keystone) -> None:
    inventory = {"total": 10, "reserved": 2, "allocation_ratio": 1.5}
    cloud.http.get(
        "http://placement.test/resource_providers/rp/inventories", json={"inventories": {"VCPU": inventory}}
    )
    assert Placement(keystone).inventories("rp")["VCPU"].capacity == 12


def test_a_volume_in_error_ends_the_waiting(cloud: Cloud, keystone: Keystone) -> None:
    states = [{"json": {"volume": {**VOLUME, "status": one}}} for one in ("creating", "error")]
    cloud.http.get("http://cinder.test/v3/volumes/v1", states)
    with pytest.raises(errors.HostError, match="v1 is error instead of available"):
        Cinder(keystone, sleep=lambda _: None).wait_for("v1", "available", 10)


def test_waiting_for_a_volume_has_an_end(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get("http://cinder.test/v3/volumes/v1", json={"volume": {**VOLUME, "status": "creating"}})
    ticks = iter(range(100))
    with pytest.raises(errors.HostError, match="still creating after 3 s"):
        Cinder(keystone, sleep=lambda _: None, clock=lambda: next(ticks)).wait_for("v1", "available", 3)


def test_only_volumes_that_bear_the_mark_are_found(cloud: Cloud, keystone: Keystone) -> None:
    # An API that ignores the filter must not make us delete strangers' volumes.
    mine = {**VOLUME, "metadata": {"sv2m_migration": MIGRATION}}
    listed = cloud.http.get(
        "http://cinder.test/v3/volumes/detail", json={"volumes": [{**VOLUME, "id": "v2"}, mine]}
    )
    assert [one.id for one in Cinder(keystone).find(MIGRATION)] == ["v1"]
    assert listed.last_request.qs["all_tenants"] == ["1"]


@pytest.mark.parametrize(
    ("seen", "placed"),
    [({"os-vol-host-attr:host": "b@nfs#nfs"}, True), ({"os-vol-host-attr:host": None}, False), ({}, True)],
    ids=["it has a host", "it has none", "its host is not shown"],
)
def test_whether_a_volume_has_a_host(
    cloud: Cloud, keystone: Keystone, seen: dict[str, str | None], placed: bool
) -> None:
    cloud.http.get("http://cinder.test/v3/volumes/v1", json={"volume": {**VOLUME, **seen}})
    assert Cinder(keystone).volume("v1").placed is placed


def test_a_volume_that_has_arrived_is_found_by_its_project_alone(cloud: Cloud, keystone: Keystone) -> None:
    mine = {**VOLUME, "metadata": {"sv2m_migration": MIGRATION}, "os-vol-tenant-attr:tenant_id": PROJECT}
    listed = cloud.http.get("http://cinder.test/v3/volumes/detail", json={"volumes": [mine]})
    sent = cloud.http.post("http://cinder.test/v3/volumes/v1/metadata", [{"json": {}}, {"status_code": 404}])
    storage = Storage(Cinder(keystone), Glance(keystone))
    storage.mark_arrived(MIGRATION, PROJECT)
    mark = {"sv2m_migration": "arrived", "sv2m_arrived": MIGRATION}
    assert sent.last_request.json() == {"metadata": mark}
    assert cloud.tokens[-1]["scope"] == {"project": {"id": PROJECT}}
    # Its owner deletes it at this moment.
    storage.mark_arrived(MIGRATION, PROJECT)
    assert sent.call_count == 2

    half = {**mine, "id": "v2", "metadata": {"sv2m_migration": MIGRATION, "sv2m_arrived": MIGRATION}}
    planted = {**mine, "id": "v3", "metadata": mark, "os-vol-tenant-attr:tenant_id": "somebody-else"}
    unmarked = {**mine, "id": "v4", "metadata": {"sv2m_migration": "arrived"}}
    volumes = [{**mine, "metadata": mark}, half, planted, unmarked]
    listed = cloud.http.get("http://cinder.test/v3/volumes/detail", json={"volumes": volumes})
    assert Cinder(keystone).find(MIGRATION) == []
    assert storage.find_arrived(MIGRATION, PROJECT) == ["v1", "v2"]
    assert listed.last_request.qs["all_tenants"] == ["1"]


def test_deleting_a_volume_waits_until_it_is_gone(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.delete("http://cinder.test/v3/volumes/v1", status_code=202)
    there = {"json": {"volume": {**VOLUME, "status": "deleting"}}}
    gets = cloud.http.get(
        "http://cinder.test/v3/volumes/v1", [there, there, {"status_code": 404, "json": {}}]
    )
    Cinder(keystone, sleep=lambda _: None).delete("v1")
    assert gets.call_count == 3


def test_deleting_a_volume_that_is_gone_is_fine(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get("http://cinder.test/v3/volumes/v1", status_code=404, json={})
    Cinder(keystone).delete("v1")


def test_deleting_a_volume_that_goes_at_this_moment_is_fine(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get("http://cinder.test/v3/volumes/v1", [{"json": {"volume": VOLUME}}, {"status_code": 404, "json": {}}])
    cloud.http.delete("http://cinder.test/v3/volumes/v1", status_code=404, json={})
    Cinder(keystone).delete("v1")


def test_a_volume_whose_key_cinder_could_not_delete_is_deleted_all_the_same(cloud: Cloud, keystone: Keystone) -> None:
    """Cinder puts it into error_deleting while Barbican is away, and then takes no ordinary deletion of it any more."""
    left = {"json": {"volume": {**VOLUME, "status": "error_deleting"}}}
    cloud.http.get("http://cinder.test/v3/volumes/v1", [left, {"status_code": 404, "json": {}}])
    refused = cloud.http.delete("http://cinder.test/v3/volumes/v1", status_code=400, json={})
    forced = cloud.http.post("http://cinder.test/v3/volumes/v1/action", status_code=202)
    Cinder(keystone, sleep=lambda _: None).delete("v1")
    assert forced.last_request.json() == {"os-force_delete": {}}
    assert not refused.called


def volume_is(*statuses: str, age: float = 0) -> list[dict[str, Any]]:
    """Cinder's answers, one after the other, of a volume of some seconds' age; behind them the volume is gone."""
    made = (datetime.now(UTC) - timedelta(seconds=age)).replace(tzinfo=None).isoformat()
    volumes = [{**VOLUME, "status": one, "created_at": made} for one in statuses]
    return [*({"json": {"volume": one}} for one in volumes), {"status_code": 404, "json": {}}]


def seconds(each: float) -> Callable[[], float]:
    """A clock; so many seconds pass from one look to the next."""
    ticks = itertools.count()
    return lambda: each * next(ticks)


def test_a_deletion_of_which_cinder_volume_never_heard_is_asked_for_by_force_once(
    cloud: Cloud, keystone: Keystone
) -> None:
    """The broker died with the message. Cinder refuses to delete what is being deleted, unless by force."""
    cloud.http.get("http://cinder.test/v3/volumes/v1", volume_is("available", *["deleting"] * 9))
    ordinary = cloud.http.delete("http://cinder.test/v3/volumes/v1", status_code=202)
    forced = cloud.http.post("http://cinder.test/v3/volumes/v1/action", status_code=202)
    Cinder(keystone, sleep=lambda _: None, clock=seconds(10)).delete("v1")
    assert (ordinary.call_count, forced.call_count) == (1, 1)


def test_a_deletion_that_another_asked_for_is_waited_for(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get("http://cinder.test/v3/volumes/v1", volume_is("deleting", "deleting"))
    Cinder(keystone, sleep=lambda _: None, clock=seconds(1)).delete("v1")


def test_a_volume_that_is_being_made_is_deleted_when_it_is_made(cloud: Cloud, keystone: Keystone) -> None:
    looks = cloud.http.get("http://cinder.test/v3/volumes/v1", volume_is("creating", "downloading", "available"))
    before: list[int] = []
    cloud.http.delete("http://cinder.test/v3/volumes/v1", text=lambda *_: before.append(looks.call_count) or "")
    Cinder(keystone, sleep=lambda _: None, clock=seconds(1)).delete("v1")
    assert before == [3]


def test_a_volume_that_was_not_made_in_all_that_time_is_deleted_by_force(cloud: Cloud, keystone: Keystone) -> None:
    looks = cloud.http.get("http://cinder.test/v3/volumes/v1", volume_is(*["creating"] * 4, "deleting", age=121))
    forced = cloud.http.post("http://cinder.test/v3/volumes/v1/action", status_code=202)
    Cinder(keystone, sleep=lambda _: None, clock=seconds(10)).delete("v1", 120)
    assert (looks.call_count, forced.call_count) == (6, 1)


def test_a_volume_that_is_still_being_made_is_told(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get("http://cinder.test/v3/volumes/v1", volume_is(*["creating"] * 20))
    with pytest.raises(errors.HostError, match="v1 is still creating after 120 s"):
        Cinder(keystone, sleep=lambda _: None, clock=seconds(10)).delete("v1", 120)


def test_a_volume_that_stays_is_told(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get("http://cinder.test/v3/volumes/v1", volume_is(*["deleting"] * 20))
    cloud.http.post("http://cinder.test/v3/volumes/v1/action", status_code=202)
    with pytest.raises(errors.HostError, match="v1 is still deleting after 120 s"):
        Cinder(keystone, sleep=lambda _: None, clock=seconds(10)).delete("v1", 120)


def test_attachments_that_nova_left_are_ended_before(cloud: Cloud, keystone: Keystone) -> None:
    """Nova deleted the server, and Cinder did not answer when its volume was to be detached."""
    cloud.http.get("http://cinder.test/v3/volumes/v1", volume_is("in-use", "detaching", "available", "deleting"))
    attached = [{"id": one, "volume_id": "v1"} for one in ("a1", "a2")] + [{"id": "a3", "volume_id": "another"}]
    listed = cloud.http.get("http://cinder.test/v3/attachments", json={"attachments": attached})
    ended = [
        cloud.http.delete("http://cinder.test/v3/attachments/a1", json={"attachments": []}),
        cloud.http.delete("http://cinder.test/v3/attachments/a2", status_code=404, json={}),
    ]
    deleted = cloud.http.delete("http://cinder.test/v3/volumes/v1", status_code=202)
    Cinder(keystone, sleep=lambda _: None, clock=seconds(1)).delete("v1")
    assert listed.last_request.qs == {"all_tenants": ["1"], "volume_id": ["v1"]}
    assert [one.call_count for one in (*ended, deleted)] == [1, 1, 1]


def test_a_volume_of_a_server_that_is_there_stays(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get("http://cinder.test/v3/volumes/v1", volume_is("in-use"))
    cloud.http.get("http://cinder.test/v3/attachments", json={"attachments": [{"id": "a1", "volume_id": "v1"}]})
    refusal = {"conflictingRequest": {"message": "Detach volume from instance s1 using the Compute API"}}
    cloud.http.delete("http://cinder.test/v3/attachments/a1", status_code=409, json=refusal)
    with pytest.raises(errors.SV2MError, match="Detach volume from instance s1"):
        Cinder(keystone, sleep=lambda _: None, clock=seconds(1)).delete("v1")


def test_a_plain_volume_has_no_encryption(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.get("http://cinder.test/v3/volumes/v1/encryption", json={"encryption_key_id": None})
    assert Cinder(keystone).encryption("v1") is None
    assert Storage(Cinder(keystone), Glance(keystone)).encryption("v1") == {}


def test_a_blank_image_that_cannot_be_filled_does_not_stay(cloud: Cloud, keystone: Keystone) -> None:
    cloud.http.post("http://glance.test/v2/images", json={"id": "i1"})
    cloud.http.put("http://glance.test/v2/images/i1/file", status_code=503)
    deleted = cloud.http.delete("http://glance.test/v2/images/i1", status_code=204)
    with pytest.raises(errors.ServiceUnavailable):
        Glance(keystone).create_blank(PROJECT, "blank")
    assert deleted.call_count == 1


def test_a_blank_image_is_private_and_zero(cloud: Cloud, keystone: Keystone) -> None:
    made = cloud.http.post("http://glance.test/v2/images", json={"id": "i1"})
    filled = cloud.http.put("http://glance.test/v2/images/i1/file", status_code=204)
    assert Glance(keystone).create_blank(PROJECT, "blank", {"hw_machine_type": "q35"}) == "i1"
    assert made.last_request.json()["visibility"] == "private"
    assert made.last_request.json()["hw_machine_type"] == "q35"
    assert filled.last_request.body == bytes(BLANK_SIZE)
