# SPDX-License-Identifier: Apache-2.0
"""What is refused, by whom and with which words; and that the server at A never notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.catalog import NEIGHBOUR
from lab.guests import Guests
from lab.rest import ApiError
from lab.ttp.authority import Authority
from tests.cloud.world import Side, World

#: Of what the API shows of an agreement, nobody gives these.
_MADE_BY_THE_API = ("id", "created_at", "updated_at", "effective_limits")


@pytest.fixture
def server(world: World) -> str:
    """A server at A that counts."""
    return world.a.manager.boot("stays", volume_type=None)


def _untouched(world: World, server: str, migration: str) -> None:
    counted = world.a.manager.counted(server)
    assert counted is not None
    again = world.a.manager.wait_for_count(server, counted.count + 3)
    assert again.boot == counted.boot
    shown = world.a.manager.show(server)
    assert shown is not None and shown["status"] == "ACTIVE" and not shown["locked"]
    assert migration not in {one.get("name") for one in world.b.admin.call("GET", "nova-api", "/servers")["servers"]}


def test_b_refuses_for_lack_of_room(world: World) -> None:
    # m1.medium wants 3 GiB of memory; cloud B has 2 GiB for everybody.
    server = world.a.manager.boot("too-big", volume_type=None, flavor="m1.medium")
    migration = world.request(world.a, server)
    ended = world.finished(world.a, migration)
    assert ended["status"] == "refused"
    assert ended["error"]["code"] == "no-room"
    assert ended["error"]["fault"] == "peer"
    assert ended["error"]["remedy"]
    assert world.finished(world.b, migration)["status"] == "refused"
    _untouched(world, server, migration)


@contextmanager
def _agreement(side: Side, peer: str, **changes: object) -> Iterator[None]:
    before = side.admin.call("GET", "sv2m-api", f"/peers/{peer}")["peer"]
    side.admin.call("PATCH", "sv2m-api", f"/peers/{peer}", {"peer": changes})
    try:
        yield
    finally:
        back = {name: before[name] for name in changes}
        side.admin.call("PATCH", "sv2m-api", f"/peers/{peer}", {"peer": back})


@contextmanager
def _no_agreement(side: Side, peer: str) -> Iterator[None]:
    before = side.admin.call("GET", "sv2m-api", f"/peers/{peer}")["peer"]
    side.admin.call("DELETE", "sv2m-api", f"/peers/{peer}")
    try:
        yield
    finally:
        given = {name: value for name, value in before.items() if name not in _MADE_BY_THE_API and value is not None}
        side.admin.call("POST", "sv2m-api", "/peers", {"peer": given})


@pytest.mark.parametrize("agreement", ("missing", "disabled"))
def test_b_refuses_without_an_agreement(world: World, server: str, agreement: str) -> None:
    missing = agreement == "missing"
    with _no_agreement(world.b, world.a.name) if missing else _agreement(world.b, world.a.name, enabled=False):
        migration = world.request(world.a, server)
        ended = world.finished(world.a, migration)
    assert ended["status"] in ("failed", "refused")
    assert ended["error"]["code"] == "no-agreement"
    assert migration not in {one["id"] for one in world.b.migrations()}
    _untouched(world, server, migration)


def test_b_refuses_what_is_larger_than_the_agreement(world: World, server: str) -> None:
    with _agreement(world.b, world.a.name, limits={"memory_mb": 64}):
        ended = world.finished(world.a, migration := world.request(world.a, server))
    assert ended["status"] == "refused"
    assert "memory_mb" in ended["error"]["message"]
    _untouched(world, server, migration)


@contextmanager
def _no_volumes(side: Side) -> Iterator[None]:
    """Cinder has no quota for one more volume of the users' project."""
    path = f"/os-quota-sets/{side.manager.client.token['project']['id']}"
    side.admin.call("PUT", "cinder-api", path, {"quota_set": {"volumes": 0}})
    try:
        yield
    finally:
        side.admin.call("DELETE", "cinder-api", path)


def _secrets(side: Side) -> set[str]:
    return {one["secret_ref"] for one in side.manager.call("GET", "barbican", "/secrets?limit=100")["secrets"]}


def test_bs_project_is_over_its_quota_and_the_servers_key_does_not_go_there(world: World) -> None:
    """Cinder clones the key of a volume before it looks at the quota, and leaves the clone: B looks at the offer."""
    server = world.a.manager.boot("stays")
    before = _secrets(world.b)
    with _no_volumes(world.b):
        ended = world.finished(world.a, migration := world.request(world.a, server))
        there = world.finished(world.b, migration)
    assert (ended["status"], ended["error"]["code"]) == ("refused", "no-room")
    assert "quotas are too small: Cinder's of volumes" in there["error"]["message"]
    assert _secrets(world.b) == before
    _untouched(world, server, migration)


def test_b_refuses_a_wrong_certificate(world: World, server: str) -> None:
    # The administrator of the trusted third party revokes A's certificate; A enrols anew afterwards.
    authority = Authority(world.lab.lab)
    mine = [one for one in authority.issued() if world.a.name in one.subject.rfc4514_string()]
    authority.revoke(mine[-1].serial_number)
    world.b.kill("sv2m-engine")  # so that B's cached revocation list is not the one from before
    world.b.start("sv2m-engine")
    try:
        migration = world.request(world.a, server)
        ended = world.finished(world.a, migration)
        assert ended["status"] in ("failed", "refused")
        assert ended["error"]["code"] == "invalid-certificate"
        _untouched(world, server, migration)
    finally:
        world.enrol_again(world.a)


def test_a_reader_may_not_migrate(world: World, server: str) -> None:
    reader = Guests(world.a.session, "bob", "research")
    with pytest.raises(ApiError) as refused:
        world.request(world.a, server, by=reader)
    assert refused.value.status == 403
    assert "secure_migration:migrations:create" in str(refused.value)
    _untouched(world, server, "none")


def test_the_manager_of_another_project_does_not_even_see_it(world: World, server: str) -> None:
    stranger = Guests(world.a.session, "olga", NEIGHBOUR)
    with pytest.raises(ApiError) as refused:
        world.request(world.a, server, by=stranger)
    assert refused.value.status == 404
    assert stranger.call("GET", "sv2m-api", "/migrations")["migrations"] == []
    _untouched(world, server, "none")


def test_novas_own_migrations_pass_the_hook_untouched(world: World, server: str) -> None:
    with pytest.raises(ApiError) as refused:
        world.a.admin.act(server, "os-migrateLive", {"host": "compute-nowhere", "block_migration": "auto"})
    assert refused.value.status == 400
    assert "compute-nowhere" in str(refused.value)
    _untouched(world, server, "none")


def test_novas_migrate_command_with_a_peers_name_starts_a_secure_migration(world: World) -> None:
    server = world.a.manager.boot("hooked", volume_type=None)
    before = {one["id"] for one in world.a.migrations()}
    result = world.a.session.run(
        ["openstack", "server", "migrate", "--live-migration", "--host", world.b.name, server], user="admin"
    )
    assert result.returncode == 0
    (migration,) = {one["id"] for one in world.a.migrations()} - before
    assert world.finished(world.a, migration)["status"] == "completed"
    landed = world.finished(world.b, migration)["server_id"]
    assert world.runnable((world.a, server), (world.b, landed)) == [(world.b.name, landed)]
