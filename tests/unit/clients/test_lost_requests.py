# SPDX-License-Identifier: Apache-2.0
"""A Nova whose broker died with what it was asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from sv2m import errors
from sv2m.clients.keystone import Keystone
from sv2m.clients.nova import Nova
from tests.unit.clients.conftest import Cloud
from tests.unit.clients.test_nova import NOVA, server

SECONDS = 10
NOON = datetime(2026, 1, 1, 12)
GONE: dict[str, Any] = {"status_code": 404, "json": {"itemNotFound": {"message": "gone"}}}
ACTIVE, ERROR = {"os-resetState": {"state": "active"}}, {"os-resetState": {"state": "error"}}
DELETE = {"forceDelete": None}


def at(seconds: float) -> str:
    """So many seconds after noon, as Nova writes it."""
    return (NOON + timedelta(seconds=seconds)).isoformat()


class Record:
    """Nova's record of one server's actions, and who is there to carry them out.

    At noon nova-compute has reported last when it is first looked at; each later time it has reported again.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._http = cloud.http
        self._actions: dict[str, list[dict[str, Any]]] = {}
        self.reports(SECONDS)
        self.actions()
        self.sent = self._http.post(f"{NOVA}/servers/s1/action", status_code=202)

    def reports(self, each: float, state: str = "up", first: str = "up", end: int = 100) -> None:
        """How many seconds later nova-compute has reported, each time that it is looked at, until it ends."""
        times = [at(min(look, end) * each) for look in range(100)]
        looks = [{"state": state if look else first, "updated_at": time} for look, time in enumerate(times)]
        bodies = [{"json": {"services": [{"id": "c1", "binary": "nova-compute", **look}]}} for look in looks]
        self.services = self._http.get(f"{NOVA}/os-services?host=compute-1", bodies)

    def actions(self, *actions: tuple[str, list[dict[str, Any]]]) -> None:
        """What Nova was asked for, oldest first, each with its events."""
        listed: list[dict[str, Any]] = []
        for number, (name, events) in enumerate(actions):
            action = {"action": name, "request_id": f"r{number}", "start_time": at(number)}
            listed.insert(0, action)
            shown = {"json": {"instanceAction": {**action, "events": events}}}
            self._http.get(f"{NOVA}/servers/s1/os-instance-actions/r{number}", **shown)
        self._http.get(f"{NOVA}/servers/s1/os-instance-actions", json={"instanceActions": listed})

    def shows(self, *looks: dict[str, Any]) -> None:
        """What Nova shows of the server, look by look; the last of them for ever."""
        self._http.get(f"{NOVA}/servers/s1", list(looks))

    def until_asked(self, task: str, status: str, *then: dict[str, Any]) -> None:
        """A server that is at a task until it is asked for once more, and what Nova shows after that."""
        after = itertools.chain(then, itertools.repeat(then[-1]))

        def look(request: Any, context: Any) -> Any:
            again = self.asked[1:] if self.asked[:1] == [DELETE] else self.asked
            shown = busy(task, status) if len(again) < 2 else next(after)
            context.status_code = shown.get("status_code", 200)
            return shown["json"]

        self._http.get(f"{NOVA}/servers/s1", json=look)

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


def begun(start: float, finish: float | None = None) -> dict[str, Any]:
    """An event: nova-compute has an action in hand, or had."""
    return {"event": "compute", "start_time": at(start), "finish_time": None if finish is None else at(finish)}


def test_a_deletion_that_was_lost_is_asked_for_again(record: Record, nova: Nova) -> None:
    """Nova would ignore a second request for what is being deleted already."""
    record.actions(("delete", []))
    record.until_asked("deleting", "ACTIVE", GONE)
    nova.delete("s1", 1000)
    assert record.asked == [DELETE, ERROR, DELETE]
    assert record.services.last_request.qs == {"host": ["compute-1"], "binary": ["nova-compute"]}


@pytest.mark.parametrize(
    ("task", "action", "before", "after"),
    [("pausing", "pause", "ACTIVE", "PAUSED"), ("suspending", "suspend", "ACTIVE", "SUSPENDED")],
)
def test_what_was_lost_is_asked_for_again(
    record: Record, nova: Nova, task: str, action: str, before: str, after: str
) -> None:
    record.actions((action, []))
    record.until_asked(task, before, server(status=after))
    nova.wait_for("s1", {after}, 1000, ours=True)
    assert record.asked == [ACTIVE, {action: None}]


def test_an_unpausing_that_was_lost_goes_by_way_of_a_pause(record: Record, nova: Nova) -> None:
    """Nova's states can be reset to active only, and nothing active can be unpaused."""
    record.actions(("unpause", []))
    after = (busy("pausing"), server(status="PAUSED"), busy("unpausing", "PAUSED"), server())
    record.until_asked("unpausing", "PAUSED", *after)
    nova.wait_for("s1", {"ACTIVE"}, 1000, ours=True)
    assert record.asked == [ACTIVE, {"pause": None}, {"unpause": None}]


def test_the_pause_on_the_way_to_an_unpausing_may_be_lost_too(record: Record, nova: Nova) -> None:
    record.actions(("unpause", []))
    after = (server(status="PAUSED"), busy("unpausing", "PAUSED"), server())
    record.until_asked("unpausing", "PAUSED", *[busy("pausing")] * 6, *after)
    nova.wait_for("s1", {"ACTIVE"}, 1000, ours=True)
    assert record.asked == [ACTIVE, {"pause": None}, ACTIVE, {"pause": None}, {"unpause": None}]


def test_an_unpausing_that_fails_when_it_is_asked_for_again_is_not_asked_for_a_third_time(
    record: Record, nova: Nova
) -> None:
    record.actions(("unpause", []))
    failed = (server(status="PAUSED"), busy("unpausing", "PAUSED"))
    record.until_asked("unpausing", "PAUSED", *failed, *[server(status="PAUSED")] * 9)
    with pytest.raises(errors.HostError, match="stays PAUSED"):
        nova.wait_for("s1", {"ACTIVE"}, 1000, ours=True)
    assert record.asked == [ACTIVE, {"pause": None}, {"unpause": None}]


def test_a_request_that_nova_could_not_even_record_is_lost(record: Record, nova: Nova) -> None:
    record.actions(("pause", [begun(0, 1)]), ("unpause", [begun(1, 2)]))
    record.until_asked("pausing", "ACTIVE", server(status="PAUSED"))
    nova.wait_for("s1", {"PAUSED"}, 1000, ours=True)
    assert record.asked == [ACTIVE, {"pause": None}]


def test_what_nova_compute_has_in_hand_is_waited_for(record: Record, nova: Nova) -> None:
    """It may hang in it; then whoever starts it again is wanted, and no second request behind the first."""
    record.actions(("pause", [begun(0, 1)]), ("pause", [begun(1)]))
    record.shows(busy("pausing"))
    with pytest.raises(errors.HostError, match="task pausing"):
        nova.wait_for("s1", {"PAUSED"}, 250, ours=True)
    assert record.asked == []


def test_what_was_cut_off_is_asked_for_again(record: Record, nova: Nova) -> None:
    """The broker died amid it, and nova-compute could not even write that it had failed."""
    record.actions(("delete", [begun(1)]))
    record.until_asked("deleting", "ACTIVE", GONE)
    nova.delete("s1", 10_000)
    assert record.asked == [DELETE, ERROR, DELETE]
    assert len(record.services.request_history) > 300 / SECONDS


@pytest.mark.parametrize(
    "silence",
    [lambda record: record.reports(0), lambda record: record.reports(SECONDS, state="down")],
    ids=["not yet taken for dead", "dead"],
)
def test_a_nova_compute_that_is_away_finds_its_messages_later(
    record: Record, nova: Nova, silence: Callable[[Record], None]
) -> None:
    silence(record)
    record.actions(("delete", []))
    record.shows(busy("deleting"))
    with pytest.raises(errors.HostError, match="not deleted"):
        nova.delete("s1", 1000)
    assert record.asked == [DELETE]


def test_a_nova_compute_that_comes_back_is_given_its_time(record: Record, nova: Nova) -> None:
    record.reports(SECONDS, first="down")
    record.actions(("delete", []))
    record.until_asked("deleting", "ACTIVE", GONE)
    nova.delete("s1", 1000)
    # One report that is newer than its first; that one is behind the one that it did not give.
    assert len(record.services.request_history) == 3


def test_what_is_done_while_questions_are_asked_is_not_repeated(cloud: Cloud, nova: Nova, record: Record) -> None:
    record.actions(("pause", []))
    looks = iter([*[busy("pausing")] * 3, *[server(status="PAUSED")] * 2])
    cloud.http.get(f"{NOVA}/servers/s1", json=lambda *_: next(looks)["json"])
    nova.wait_for("s1", {"PAUSED"}, 1000, ours=True)
    assert record.asked == []


def test_what_is_lost_twice_is_asked_for_a_third_time(record: Record, nova: Nova) -> None:
    record.actions(("pause", []))
    record.shows(*[busy("pausing")] * 18, server(status="PAUSED"))
    nova.wait_for("s1", {"PAUSED"}, 1000, ours=True)
    # Each gets its time: eighteen looks are as many times twenty seconds.
    assert record.asked.count({"pause": None}) == 3


def test_a_nova_compute_that_ends_with_the_second_request_is_not_asked_again(record: Record, nova: Nova) -> None:
    record.reports(SECONDS, end=1)
    record.actions(("pause", []))
    record.shows(busy("pausing"))
    with pytest.raises(errors.HostError, match="task pausing"):
        nova.wait_for("s1", {"PAUSED"}, 1000, ours=True)
    assert record.asked == [ACTIVE, {"pause": None}]


def test_nova_is_not_asked_more_often_than_it_has_news(keystone: Keystone, record: Record) -> None:
    nova = Nova(keystone, sleep=lambda _: None, clock=itertools.count().__next__)
    record.actions(("pause", [begun(0)]))
    record.shows(busy("pausing"))
    with pytest.raises(errors.HostError, match="task pausing"):
        nova.wait_for("s1", {"PAUSED"}, 200, ours=True)
    assert 10 < record.services.call_count <= 200 / 5


@pytest.mark.parametrize(
    "wait",
    [
        lambda nova: nova.settle("s1", 1000),
        lambda nova: nova.delete("s1", 1000),
        lambda nova: nova.settle("s1", 1000, ("unpausing",)),
        lambda nova: nova.wait_for("s1", {"ACTIVE"}, 1000, ours=True),
        lambda nova: nova.wait_for("s1", {"PAUSED"}, 1000),
    ],
    ids=["settle", "delete", "settle another task", "wait for another status", "not locked for us"],
)
def test_what_the_caller_has_not_asked_for_is_nobody_elses_to_repeat(
    record: Record, nova: Nova, wait: Callable[[Nova], object]
) -> None:
    record.actions(("pause", []))
    record.shows(busy("pausing"))
    with pytest.raises(errors.HostError, match="task pausing"):
        wait(nova)
    assert [one for one in record.asked if one != DELETE] == []


def test_what_was_lost_of_a_server_that_is_ours_is_settled(record: Record, nova: Nova) -> None:
    record.actions(("pause", []))
    record.until_asked("pausing", "ACTIVE", server(status="PAUSED"))
    assert nova.settle("s1", 1000, ("pausing",))["status"] == "PAUSED"


def test_a_server_on_no_host_is_nobodys_to_ask_for(record: Record, nova: Nova) -> None:
    nowhere = {"json": {"server": {**busy("deleting")["json"]["server"], "OS-EXT-SRV-ATTR:host": None}}}
    record.shows(*[nowhere] * 9, GONE)
    nova.delete("s1", 1000)
    assert (record.asked, record.services.called) == ([DELETE], False)


def test_a_server_of_which_nova_has_no_record_just_now_is_waited_for(cloud: Cloud, record: Record, nova: Nova) -> None:
    record.shows(*[busy("pausing")] * 9, server(status="PAUSED"))
    cloud.http.get(f"{NOVA}/servers/s1/os-instance-actions", **GONE)
    nova.wait_for("s1", {"PAUSED"}, 1000, ours=True)
    assert record.asked == []


def test_tasks_of_which_we_know_nothing_are_waited_for(record: Record, nova: Nova) -> None:
    record.shows(*[busy("spawning", "BUILD")] * 9, server())
    nova.wait_for("s1", {"ACTIVE"}, 1000)
    assert record.asked == []
