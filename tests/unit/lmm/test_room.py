# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from sv2m import errors
from sv2m.db import engine, migrations
from sv2m.lmm import arrivals
from sv2m.lmm.arrivals import Arrivals
from sv2m.lmm.room import Room
from tests.unit.lmm.fakes import Identity, Known, MemoryNova, MemoryPlacement


def needs(memory_mb: int = 128) -> dict[str, Any]:
    disks = [{"boot": True, "volume_gb": 1}]
    shape = {"vcpus": 1, "memory_mb": memory_mb, "root_gb": 1, "ephemeral_gb": 0, "swap_mb": 0}
    return {**shape, "disks": disks}


class World:
    def __init__(self, **memory_mb: int) -> None:
        self.placement = MemoryPlacement(**memory_mb)
        self.nova = MemoryNova(*memory_mb)
        self.known = Known()
        self.room = Room(self.placement, self.nova, Identity(), self.known, shuffle=lambda _: None)


def test_room_is_held_on_a_host_under_the_migrations_id() -> None:
    world = World(one=200)
    held = world.room.hold("m1", needs(), "research")
    assert (held.host, held.provider, held.flavor_id) == ("host-one", "one", "f128")
    assert world.placement.taken == {"m1": {"one": {"VCPU": 1, "MEMORY_MB": 128}}}
    assert world.placement.types == {"m1": "SV2M_OFFER"}


def test_repeating_holds_nothing_twice() -> None:
    world = World(one=500)
    assert world.room.hold("m1", needs(), None) == world.room.hold("m1", needs(), None)
    assert len(world.placement.taken) == 1


def test_an_answer_that_got_lost_does_not_lose_the_room() -> None:
    world = World(one=200)
    world.placement.lost_answers = 1
    assert world.room.hold("m1", needs(), None).host == "host-one"


def test_of_many_at_once_exactly_as_many_get_room_as_there_is() -> None:
    world = World(one=128, two=128)
    outcomes: list[str] = []

    def try_hold(name: str) -> None:
        try:
            outcomes.append(world.room.hold(name, needs(), None).host)
        except errors.NoRoom:
            outcomes.append("")

    threads = [threading.Thread(target=try_hold, args=(f"m{number}",)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(outcomes) == [""] * 6 + ["host-one", "host-two"]


def test_a_full_cloud_says_what_there_is_no_room_for() -> None:
    with pytest.raises(errors.NoRoom, match="no host has room for 1 VCPU, 128 MEMORY_MB"):
        World(one=100).room.hold("m1", needs(), None)


def test_a_host_that_is_down_has_no_room() -> None:
    world = World(one=500)
    world.nova.down = {"one"}
    with pytest.raises(errors.NoRoom):
        world.room.hold("m1", needs(), None)
    assert world.placement.taken == {}


def test_a_host_to_avoid_loses_what_was_held_on_it() -> None:
    world = World(one=500, two=500)
    assert world.room.hold("m1", needs(), None).host == "host-one"
    assert world.room.hold("m1", needs(), None, ["host-one"]).host == "host-two"
    assert world.placement.taken == {"m1": {"two": {"VCPU": 1, "MEMORY_MB": 128}}}
    assert world.room.hold("m1", needs(), None, ["host-one"]).host == "host-two"
    with pytest.raises(errors.NoRoom):
        world.room.hold("m1", needs(), None, ["host-one", "host-two"])
    assert world.placement.taken == {}


def test_a_projects_own_flavor_is_for_it_alone() -> None:
    world = World(one=500)
    assert world.room.hold("m1", needs(256), "research").flavor_id == "f256"
    with pytest.raises(errors.NoRoom, match="256 MB"):
        world.room.hold("m2", needs(256), None)


def test_giving_back_is_final_and_may_be_repeated() -> None:
    world = World(one=128)
    world.room.hold("m1", needs(), None)
    world.room.release("m1")
    world.room.release("m1")
    assert world.room.hold("m2", needs(), None).host == "host-one"


def test_asking_holds_nothing() -> None:
    world = World(one=128)
    assert world.room.fits(needs(), None) == ("host-one", "")
    assert world.placement.taken == {}
    host, why = world.room.fits(needs(333), None)
    assert host is None
    assert "333 MB" in why
    world.room.hold("m1", needs(), None)
    assert world.room.fits(needs(), None)[0] is None


def test_what_ended_migrations_left_is_swept_and_strangers_are_not() -> None:
    world = World(one=1000)
    for name in ("m1", "m2", "server"):
        world.room.hold(name, needs(), None)
    world.known.migrations = {"m1": True, "m2": False}
    assert set(world.room.holds()) == {"m1", "m2"}
    assert world.room.sweep() == ["m2"]
    assert set(world.placement.taken) == {"m1", "server"}


def test_the_database_says_which_arrive_here(database: sa.Engine) -> None:
    with engine.session() as session:
        values = {"peer": "a", "project_id": "p", "phase": "challenged"}
        migrations.create(session, id="m1", role="destination", **values)
        migrations.create(session, id="m2", role="destination", status="failed", **values)
        migrations.create(session, id="m3", role="source", **values)
    assert Arrivals().running(["m1", "m2", "m3", "server"]) == {"m1": True, "m2": False}
    assert Arrivals().running([]) == {}


def test_no_more_of_the_database_is_read_than_was_found_in_placement(
    database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_AT_A_TIME", 3)
    with engine.session() as session:
        for number in range(20):
            values = {"id": f"m{number:02}", "role": "destination", "peer": "a", "project_id": "p"}
            migrations.create(session, phase="undone", status="failed" if number % 2 else "running", **values)
    world = World(one=2000)
    room = Room(world.placement, world.nova, Identity(), Arrivals())
    for name in ("m01", "m02", "m03", "m04", "server"):
        room.hold(name, needs(), None)
    rows: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith("SELECT"):
            assert "state" not in statement.partition("FROM")[0]
            rows.extend(parameters)

    sa.event.listen(database, "after_cursor_execute", count)
    assert set(room.holds()) == {"m01", "m02", "m03", "m04"}
    assert sorted({"m01", "m02", "m03", "m04", "server"} & set(rows)) == ["m01", "m02", "m03", "m04", "server"]
    assert not {"m00", "m05"} & set(rows)
    assert sorted(room.sweep()) == ["m01", "m03"]
    assert set(world.placement.taken) == {"m02", "m04", "server"}


def test_room_is_preferably_held_where_an_agent_lives() -> None:
    world = World(one=500, two=500, three=500)
    assert world.room.hold("m1", needs(), None, prefer=["host-three"]).host == "host-three"
    assert world.room.hold("m2", needs(), None, ["host-one"], ["host-one"]).host == "host-two"
    assert sorted(world.room.fitting(needs(), None)) == ["host-one", "host-three", "host-two"]


def test_hosts_are_taken_in_no_order_of_placements() -> None:
    world = World(one=500, two=500)
    room = Room(world.placement, world.nova, Identity(), world.known, shuffle=lambda found: found.reverse())
    assert room.hold("m1", needs(), None).host == "host-two"


def test_a_host_without_a_provider_ends_no_sweep(caplog: pytest.LogCaptureFixture) -> None:
    world = World(one=500, two=500)
    world.room.hold("m1", needs(), None)
    world.room.hold("m2", needs(), None, ["host-one"])
    world.known.migrations = {"m1": False, "m2": False}
    world.placement.without = {"one"}
    assert list(world.room.holds()) == ["m2"]
    assert world.room.sweep() == ["m2"]
    assert "host-one" in caplog.text
