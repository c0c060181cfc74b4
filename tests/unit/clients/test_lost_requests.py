# SPDX-License-Identifier: Apache-2.0
"""A Nova whose broker died with what it was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from sv2m import errors
from sv2m.clients.keystone import Keystone
from sv2m.clients.nova import Nova
from tests.unit.clients.conftest import Cloud
from tests.unit.clients.test_nova import NOVA, server

SECONDS = 10
STARTED = "2026-01-01T00:00:0"


class Record:
    """Nova's record of one server's actions, and who is there to carry them out."""

    def __init__(self, cloud: Cloud) -> None:
        self._http = cloud.http
        self.compute(up=True)
        self.actions()
        self.sent = self._http.post(f"{NOVA}/servers/s1/action", status_code=202)
        self.deleted = self._http.delete(f"{NOVA}/servers/s1", status_code=204)

    def compute(self, *, up: bool) -> None:
        """Whether nova-compute reports."""
        body = {"services": [{"id": "c1", "binary": "nova-compute", "state": "up" if up else "down"}]}
        self._http.get(f"{NOVA}/os-services", json=body)

    def actions(self, *actions: tuple[str, list[str | None]]) -> None:
        """What Nova was asked for, oldest first, each with when its events ended."""
        listed: list[dict[str, Any]] = []
        for number, (name, events) in enumerate(actions):
            action = {"action": name, "request_id": f"r{number}", "start_time": f"{STARTED}{number}"}
            listed.insert(0, action)
            shown = {**action, "events": [{"event": f"compute_{name}", "finish_time": end} for end in events]}
            self._http.get(f"{NOVA}/servers/s1/os-instance-actions/r{number}", json={"instanceAction": shown})
        self._http.get(f"{NOVA}/servers/s1/os-instance-actions", json={"instanceActions": listed})

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What SV2M posted, in order."""
        return [one.json() for one in self.sent.request_history]


@pytest.fixture
def record(cloud: Cloud) -> Record:
    return Record(cloud)


@pytest.fixture
def nova(keystone: Keystone) -> Nova:
    """Each look at the clock is ten seconds later."""
    ticks = iter(range(0, 100_000, SECONDS))
    return Nova(keystone, sleep=lambda _: None, clock=lambda: next(ticks))


def busy(task: str, status: str = "ACTIVE") -> dict[str, Any]:
    return server(status=status, **{"OS-EXT-STS:task_state": task})


GONE: dict[str, Any] = {"status_code": 404, "json": {"itemNotFound": {"message": "gone"}}}


def test_a_deletion_that_was_lost_is_asked_for_again(cloud: Cloud, nova: Nova, record: Record) -> None:
    """Nova would ignore a second request for what is being deleted already."""
    record.actions(("delete", []))
    cloud.http.get(f"{NOVA}/servers/s1", [*[busy("deleting")] * 3, GONE])
    nova.delete("s1", 1000)
    assert record.asked == [{"os-resetState": {"state": "error"}}]
    assert record.deleted.call_count == 2


@pytest.mark.parametrize(
    ("task", "action", "before", "after"),
    [("pausing", "pause", "ACTIVE", "PAUSED"), ("suspending", "suspend", "ACTIVE", "SUSPENDED")],
)
def test_what_was_lost_is_asked_for_again(
    cloud: Cloud, nova: Nova, record: Record, task: str, action: str, before: str, after: str
) -> None:
    record.actions((action, []))
    cloud.http.get(f"{NOVA}/servers/s1", [*[busy(task, before)] * 3, server(status=after)])
    nova.wait_for("s1", {after}, 1000)
    assert record.asked == [{"os-resetState": {"state": "active"}}, {action: None}]


def test_an_unpausing_that_was_lost_goes_by_way_of_a_pause(cloud: Cloud, nova: Nova, record: Record) -> None:
    """Nova's states can be reset to active only, and nothing active can be unpaused."""
    record.actions(("unpause", []))
    states = [*[busy("unpausing", "PAUSED")] * 3, busy("pausing"), server(status="PAUSED")]
    cloud.http.get(f"{NOVA}/servers/s1", [*states, busy("unpausing", "PAUSED"), server()])
    nova.wait_for("s1", {"ACTIVE"}, 1000)
    assert record.asked == [{"os-resetState": {"state": "active"}}, {"pause": None}, {"unpause": None}]


def test_a_request_that_nova_could_not_even_record_is_lost(cloud: Cloud, nova: Nova, record: Record) -> None:
    record.actions(("pause", ["then"]), ("unpause", ["then"]))
    cloud.http.get(f"{NOVA}/servers/s1", [*[busy("pausing")] * 3, server(status="PAUSED")])
    nova.wait_for("s1", {"PAUSED"}, 1000)
    assert {"pause": None} in record.asked


def test_what_nova_compute_has_in_hand_is_waited_for(cloud: Cloud, nova: Nova, record: Record) -> None:
    """It may hang in it; then whoever starts it again is wanted, and no second request behind the first."""
    record.actions(("pause", ["then"]), ("pause", [None]))
    cloud.http.get(f"{NOVA}/servers/s1", **busy("pausing"))
    with pytest.raises(errors.HostError, match="task pausing"):
        nova.wait_for("s1", {"PAUSED"}, 1000)
    assert record.asked == []


def test_a_nova_compute_that_is_away_finds_its_messages_later(cloud: Cloud, nova: Nova, record: Record) -> None:
    record.compute(up=False)
    record.actions(("delete", []))
    cloud.http.get(f"{NOVA}/servers/s1", **busy("deleting"))
    with pytest.raises(errors.HostError, match="not deleted"):
        nova.delete("s1", 1000)
    assert (record.asked, record.deleted.call_count) == ([], 1)


def test_what_is_lost_twice_is_asked_for_a_third_time(cloud: Cloud, nova: Nova, record: Record) -> None:
    record.actions(("pause", []))
    cloud.http.get(f"{NOVA}/servers/s1", [*[busy("pausing")] * 9, server(status="PAUSED")])
    nova.wait_for("s1", {"PAUSED"}, 1000)
    assert record.asked.count({"pause": None}) > 1


def test_tasks_of_which_we_know_nothing_are_waited_for(cloud: Cloud, nova: Nova, record: Record) -> None:
    cloud.http.get(f"{NOVA}/servers/s1", [*[busy("spawning", "BUILD")] * 9, server()])
    nova.wait_for("s1", {"ACTIVE"}, 1000)
    assert record.asked == []
