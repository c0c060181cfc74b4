# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from sv2m import errors
from sv2m.lmm.load import LoadMonitor, Thresholds
from sv2m.lmm.ports import Reading
from sv2m.lmm.room import Room
from sv2m.lmm.server import Endpoint
from sv2m.lmm.shared import SharedReading
from tests.unit.lmm.fakes import Identity, Known, MemoryNova, MemoryPlacement


class Notifier:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.any = threading.Event()

    def warn(self, ctxt: dict[str, Any], event_type: str, payload: dict[str, Any]) -> None:
        self.sent.append((event_type, payload["host"]))
        self.any.set()

    info = warn


class Alone:
    """The reading of a cloud with one engine."""

    def __init__(self) -> None:
        self.reading = ""

    def is_ours(self) -> bool:
        return True

    def keep(self, reading: str) -> None:
        self.reading = reading

    def kept(self) -> str:
        return self.reading


class World:
    def __init__(self, reading: Reading | None = None) -> None:
        self.placement = MemoryPlacement(one=1000, two=1000)
        self.nova = MemoryNova("one", "two")
        self.notifier = Notifier()
        around = self.placement, self.nova, self.notifier, Thresholds(90, 80, 90), 0.01
        self.monitor = LoadMonitor(*around, reading=reading or Alone())

    def use(self, memory_mb: int) -> None:
        self.placement.taken = {"server": {"one": {"MEMORY_MB": memory_mb, "VCPU": 1}}}


def test_figures_of_every_host() -> None:
    world = World()
    world.use(300)
    one, two = world.monitor.hosts()
    assert (one["host"], one["memory_mb"], one["memory_mb_used"], one["servers"]) == (
        "host-one",
        1000,
        300,
        2,
    )
    assert (one["vcpus"], one["vcpus_used"], one["disk_gb"], one["short"]) == (10, 1, 0, False)
    assert two["memory_mb_used"] == 0


def test_the_operator_is_told_once_when_it_changes() -> None:
    world = World()
    for memory_mb in (800, 801, 999, 801, 800, 100, 900):
        world.use(memory_mb)
        world.monitor.look()
    assert world.notifier.sent == [
        ("secure_migration.load.short", "host-one"),
        ("secure_migration.load.enough", "host-one"),
        ("secure_migration.load.short", "host-one"),
    ]
    assert [one["short"] for one in world.monitor.hosts()] == [True, False]


def test_a_reading_that_fails_leaves_the_last_one() -> None:
    world = World()
    world.use(900)
    before = world.monitor.hosts()
    world.placement.away = True
    with pytest.raises(errors.ServiceUnavailable):
        world.monitor.look()
    assert world.monitor.hosts() == before


def test_of_two_engines_one_reads_and_both_answer(database: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = World(SharedReading("a", 60)), World(SharedReading("b", 60))
    one.use(900)
    one.monitor.look()
    monkeypatch.setattr(other.placement, "away", True)
    other.monitor.look()
    assert other.monitor.hosts() == one.monitor.hosts()
    assert [host["short"] for host in other.monitor.hosts()] == [True, False]


def test_an_engine_that_takes_over_tells_nothing_twice(database: sa.Engine) -> None:
    one, other = World(SharedReading("a", -1)), World(SharedReading("b", -1))
    for world in (one, other):
        world.use(900)
        world.monitor.look()
    assert one.notifier.sent == [("secure_migration.load.short", "host-one")]
    assert other.notifier.sent == []
    other.use(100)
    other.monitor.look()
    assert other.notifier.sent == [("secure_migration.load.enough", "host-one")]


def test_a_host_without_a_provider_is_left_out_and_the_others_are_read(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.placement.without = {"one"}
    assert [one["host"] for one in world.monitor.hosts()] == ["host-two"]
    world.monitor.look()
    assert [record.levelname for record in caplog.records if "host-one" in record.getMessage()].count("WARNING") == 1


def test_it_reads_on_by_itself_also_after_a_failure() -> None:
    world = World()
    world.placement.away = True
    world.monitor.start()
    world.use(900)
    world.placement.away = False
    assert world.notifier.any.wait(10)
    world.monitor.stop()
    world.monitor.stop()


def test_the_endpoint() -> None:
    world = World()
    room = Room(world.placement, world.nova, Identity(), known := Known(), shuffle=lambda _: None)
    endpoint = Endpoint(room, world.monitor)
    shape = {"vcpus": 1, "memory_mb": 128, "root_gb": 1, "ephemeral_gb": 0, "swap_mb": 0}
    needs = {**shape, "disks": [{"boot": True, "volume_gb": 1}]}
    assert endpoint.fits({}, needs) == {"fits": True, "host": "host-one", "why": ""}
    assert endpoint.hold({}, "m1", needs) == {"host": "host-one", "provider": "one", "flavor_id": "f128"}
    known.migrations = {"m1": True}
    load = endpoint.load({})
    assert load["held"] == [
        {"migration_id": "m1", "host": "host-one", "resources": {"VCPU": 1, "MEMORY_MB": 128}}
    ]
    assert len(load["hosts"]) == 2
    known.migrations = {"m1": False}
    assert endpoint.sweep({}) == {"released": ["m1"]}
    endpoint.release({}, "m1")
