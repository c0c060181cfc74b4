# SPDX-License-Identifier: Apache-2.0
"""Programs killed and operators who change their minds, in the middle of a migration between two real clouds."""

from __future__ import annotations

from lab.guests import until
from tests.cloud.payload import readers_of_key
from tests.cloud.world import World
from tests.faults.hold import Hold, arm
from tests.faults.matrix import ENTERED


def test_an_abort_during_the_transfer_leaves_the_server_running_at_a(world: World) -> None:
    server = world.a.manager.boot("aborted")
    before = world.a.manager.wait_for_count(server, 10)
    migration = world.request(world.a, server)
    assert readers_of_key(world.a, server) == [], "SV2M's user reads the key no longer than the request lasts"
    world.reaches(world.a, migration, "transferring")
    world.a.admin.call("POST", "sv2m-api", f"/migrations/{migration}/abort")
    ended = world.finished(world.a, migration)
    assert (ended["status"], ended["error"]["code"]) == ("aborted", "aborted")
    assert world.finished(world.b, migration)["status"] in ("aborted", "failed")
    after = world.a.manager.wait_for_count(server, before.count + 5)
    assert after.boot == before.boot
    shown = world.a.manager.show(server)
    assert shown is not None and shown["status"] == "ACTIVE" and not shown["locked"]
    assert readers_of_key(world.a, server) == []
    # And a new attempt goes through.
    _, landed = world.migrate(world.a, server)
    assert world.b.manager.wait_for_count(landed, after.count + 3).boot == before.boot


def test_bs_agent_is_killed_during_the_transfer_and_the_server_runs_at_a_again(world: World) -> None:
    server = world.a.manager.boot("agent-lost")
    before = world.a.manager.wait_for_count(server, 10)
    migration = world.request(world.a, server)
    world.reaches(world.a, migration, "transferring")
    world.b.kill("sv2m-agent")
    world.b.start("sv2m-agent")
    ended = world.finished(world.a, migration)
    assert ended["status"] == "failed", ended
    assert ended["error"]["message"] and ended["error"]["remedy"]
    assert world.finished(world.b, migration)["status"] in ("aborted", "failed")
    after = world.a.manager.wait_for_count(server, before.count + 5)
    assert after.boot == before.boot
    shown = world.a.manager.show(server)
    assert shown is not None and shown["status"] == "ACTIVE" and not shown["locked"]


def test_as_engine_is_killed_right_after_release_and_the_server_ends_at_b(world: World) -> None:
    server = world.a.manager.boot("released")
    before = world.a.manager.wait_for_count(server, 10)
    # Held between the commit, which is in A's database, and whatever the engine would do next: tell B.
    committed = Hold(world.a, "source", "released", ENTERED, "released", "committed")
    committed.take()
    arm(world.a, [committed])
    try:
        migration = world.request(world.a, server)
        until(lambda: committed.waiting() or None, "A has committed")
        assert world.a.migration(migration)["phase"] == "released"
        assert world.b.migration(migration)["phase"] == "prepared"
        world.a.kill("sv2m-engine")
    finally:
        committed.let_go()
        arm(world.a, [])
    world.a.start("sv2m-engine")
    ended = world.finished(world.a, migration)
    assert ended["status"] == "completed", ended
    landed = world.finished(world.b, migration)["server_id"]
    after = world.b.manager.wait_for_count(landed, before.count + 5)
    assert after.boot == before.boot
    assert world.runnable((world.a, server), (world.b, landed)) == [(world.b.name, landed)]


def test_both_engines_are_killed_while_the_data_moves(world: World) -> None:
    server = world.a.manager.boot("engines-lost")
    before = world.a.manager.wait_for_count(server, 10)
    migration = world.request(world.a, server)
    world.reaches(world.a, migration, "transferring")
    for side in (world.a, world.b):
        side.kill("sv2m-engine")
    for side in (world.b, world.a):
        side.start("sv2m-engine")
    ended = world.finished(world.a, migration)
    landed = world.finished(world.b, migration)
    servers = [(world.a, server)]
    if landed["server_id"]:
        servers.append((world.b, landed["server_id"]))
    (only,) = world.runnable(*servers)
    side, where = (world.a, server) if only[0] == world.a.name else (world.b, landed["server_id"])
    assert (ended["status"] == "completed") == (side is world.b)
    assert side.manager.wait_for_count(where, before.count + 5).boot == before.boot
