# SPDX-License-Identifier: Apache-2.0
"""Migrations that succeed, between two real clouds: the VM goes on where it stopped, and is an ordinary server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography import x509

from lab import evidence
from lab.catalog import NEIGHBOUR, NEIGHBOURS
from lab.guests import Count, Guests, until
from lab.resources import NETWORK
from lab.rest import ApiError
from tests.cloud.payload import key_of_volume, read_as
from tests.cloud.world import Side, World
from tests.faults.hold import Hold, arm
from tests.faults.matrix import ENTERED


def _went_on(destination: Side, server: str, last: Count) -> Count:
    """The same boot counts on, without having counted anything twice or left anything out."""
    now = destination.manager.wait_for_count(server, last.count + 5)
    first = destination.manager.first_counted(server)
    assert first is not None
    assert now.boot == first.boot == last.boot, "another boot: the guest was started, not continued"
    # The console line at which A was stopped may have been cut in two.
    assert last.count < first.count <= last.count + 2
    # What the guest reads back from its disk is what it wrote there one moment before.
    assert now.disk == now.count
    return now


def test_a_server_with_an_encrypted_volume_goes_over_and_counts_on(world: World) -> None:
    server = world.a.manager.boot("encrypted")
    world.a.manager.wait_for_count(server, 10)
    migration, landed = world.migrate(world.a, server)
    last = world.a.manager.counted(server)

    assert world.runnable((world.a, server), (world.b, landed)) == [(world.b.name, landed)]
    console = world.b.manager.session.console(landed)
    assert "earlier" not in console, "the guest booted at B"
    first = world.b.manager.begins_to_count(landed)
    assert last is None, "Nova at A removed the console with the server"
    now = world.b.manager.wait_for_count(landed, first.count + 5)
    assert now.boot == first.boot and now.disk == now.count

    shown = world.b.manager.show(landed)
    assert shown is not None and shown["status"] == "ACTIVE" and not shown["locked"]
    assert migration["downtime_ms"] > 0
    _its_key_is_its_projects(world.b, landed)
    _is_an_ordinary_server(world.b, landed, first.boot)


def _its_key_is_its_projects(side: Side, server: str) -> None:
    """The volume's key at the destination is for the project that has the volume: no other one reads or changes it."""
    ref = key_of_volume(side, server)
    assert len(read_as(side, side.manager, ref)) == 32
    secret = "/secrets/" + ref.rsplit("/", 1)[-1]
    for neighbour in (Guests(side.session, user, NEIGHBOUR) for user in NEIGHBOURS):
        with pytest.raises(ApiError) as refused:
            read_as(side, neighbour, ref)
        assert refused.value.status in (403, 404)
        assert neighbour.call("GET", "barbican", "/secrets?limit=100")["secrets"] == []
        for method, path, body in (
            ("PUT", secret + "/metadata", {"metadata": {"key": "mine"}}),
            ("PUT", secret + "/acl", {"read": {"users": [neighbour.client.token["user"]["id"]]}}),
            ("DELETE", secret, None),
        ):
            with pytest.raises(ApiError) as refused:
                neighbour.call(method, "barbican", path, body)
            assert refused.value.status in (403, 404)
    assert len(read_as(side, side.manager, ref)) == 32


def _is_an_ordinary_server(side: Side, server: str, boot: str) -> None:
    guests = side.manager
    guests.act(server, "pause")
    guests.wait_for(server, "PAUSED")
    guests.act(server, "unpause")
    guests.wait_for(server, "ACTIVE")
    guests.act(server, "suspend")
    guests.wait_for(server, "SUSPENDED")
    guests.act(server, "resume")
    guests.wait_for(server, "ACTIVE")
    # Nova begins a new console log with each start of QEMU.
    assert guests.wait_for_count(server, 1).boot == boot, "suspend and resume kept its memory"
    guests.act(server, "reboot", {"type": "HARD"})
    guests.wait_for(server, "ACTIVE")
    console = side.session.console

    def earlier() -> str | None:
        return next((one for one in console(server).splitlines() if "sv2m-guest earlier" in one), None)

    assert boot in until(earlier, "the guest boots from its disk at B"), "its disk came over"


def test_an_unencrypted_server_goes_over_to_a_cloud_that_enrolled_by_file(world: World, tmp_path: Path) -> None:
    said = world.enrol_by_file(world.b)
    server = world.a.manager.boot("plain-local", volume_type=None)
    before = world.a.manager.wait_for_count(server, 10)
    migration, landed = world.migrate(world.a, server)
    first = world.b.manager.begins_to_count(landed)
    assert first.boot == before.boot and first.count > before.count
    assert world.runnable((world.a, server), (world.b, landed)) == [(world.b.name, landed)]
    evidence.save(world.a.session, migration["id"], tmp_path / "a")
    used = b"".join(one.read_bytes() for one in (tmp_path / "a").rglob("*.pem"))
    pems = re.findall(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", used, re.DOTALL)
    serials = {f"{x509.load_pem_x509_certificate(pem).serial_number:x}" for pem in pems}
    assert said.split()[1] in serials, "the new certificate is the one that it signed by, at once"


def test_an_unencrypted_volume_goes_over(world: World) -> None:
    server = world.a.manager.boot("plain-volume", volume_type="plain")
    before = world.a.manager.wait_for_count(server, 10)
    _, landed = world.migrate(world.a, server)
    first = world.b.manager.begins_to_count(landed)
    assert first.boot == before.boot and first.count > before.count


def test_a_paused_server_goes_over_exactly_where_it_stopped(world: World) -> None:
    server = world.a.manager.boot("paused")
    world.a.manager.wait_for_count(server, 10)
    world.a.manager.act(server, "pause")
    world.a.manager.wait_for(server, "PAUSED")
    last = world.a.manager.counted(server)
    assert last is not None
    _, landed = world.migrate(world.a, server)
    _went_on(world.b, landed, last)


def test_a_network_interface_goes_over_with_its_mac_address(world: World) -> None:
    server = world.a.manager.boot("connected", network=NETWORK)
    (left,) = world.a.ports_of(server)
    # What A's project lets in must not matter at B.
    open_wide = world.a.manager.call("POST", "neutron", "/security-groups", {"security_group": {"name": "open-wide"}})
    wide = open_wide["security_group"]["id"]
    world.a.manager.call("PUT", "neutron", f"/ports/{left['id']}", {"port": {"security_groups": [wide]}})
    landed = _migrated_and_guarded(world, server)
    (arrived,) = world.b.ports_of(landed)
    assert (arrived["mac_address"], arrived["status"]) == (left["mac_address"], "ACTIVE")
    assert arrived["project_id"] == world.b.manager.show(landed)["tenant_id"], "it is the receiving project's own"
    assert left["mac_address"] in world.b.session.run(["virsh", "dumpxml", landed]).stdout
    assert world.a.ports_of(server) == []
    world.a.manager.call("DELETE", "neutron", f"/security-groups/{wide}")
    world.b.manager.act(landed, "reboot", {"type": "HARD"})
    world.b.manager.wait_for(landed, "ACTIVE")
    (after,) = world.b.ports_of(landed)
    assert (after["admin_state_up"], after["security_groups"]) == (True, arrived["security_groups"])


def _closed_by(side: Side, server: str) -> str:
    """The name of the one security group on the one port of a server, which has no rule, not even the template's."""
    (port,) = side.ports_of(server)
    (group,) = port["security_groups"]
    shown = side.manager.call("GET", "neutron", f"/security-groups/{group}")["security_group"]
    assert shown["security_group_rules"] == []
    return str(shown["name"])


def _migrated_and_guarded(world: World, server: str) -> str:
    """Migrate it; its port at B is down, and lets nothing through, while the guest there does not run yet."""
    before_it_runs = Hold(world.b, "destination", "resuming", ENTERED, "connected", "guarded")
    before_it_runs.take()
    arm(world.b, [before_it_runs])
    try:
        migration = world.request(world.a, server)
        until(lambda: before_it_runs.waiting() or None, "the guest is to run at B", pause=0.05)
        landed: str = world.b.migration(migration)["server_id"]
        assert world.b.session.run(["virsh", "domstate", landed]).stdout.strip() == "paused"
        assert _closed_by(world.b, landed) == f"sv2m-{migration}"
        assert [port["admin_state_up"] for port in world.b.ports_of(landed)] == [False]
    finally:
        before_it_runs.let_go()
        arm(world.b, [])
    assert world.finished(world.a, migration)["status"] == "completed"
    assert world.finished(world.b, migration)["server_id"] == landed
    for side in (world.a, world.b):
        world.closed(side, migration)
    assert world.b.session.run(["virsh", "domstate", landed]).stdout.strip() == "running"
    assert _closed_by(world.b, landed) == f"sv2m-arrived-{migration}"
    assert [port["admin_state_up"] for port in world.b.ports_of(landed)] == [True]
    assert "lets nothing in or out" in world.b.migration(migration)["notice"]
    return landed


def test_there_and_back_again(world: World) -> None:
    server = world.a.manager.boot("traveller")
    before = world.a.manager.wait_for_count(server, 10)
    _, landed = world.migrate(world.a, server)
    world.b.manager.wait_for_count(landed, before.count + 5)
    _, home = world.migrate(world.b, landed)
    now = world.a.manager.wait_for_count(home, before.count + 15)
    assert now.boot == before.boot
    assert world.runnable((world.b, landed), (world.a, home)) == [(world.a.name, home)]


def test_the_evidence_is_checked_by_xmlsec1_and_openssl_alone(world: World, tmp_path: Path) -> None:
    server = world.a.manager.boot("evident", volume_type=None)
    migration, _ = world.migrate(world.a, server)
    for side in (world.a, world.b):
        folder = tmp_path / side.name
        evidence.save(side.session, migration["id"], folder)
        signatures, chains = evidence.told(folder, "xmlsec1"), evidence.told(folder, "openssl verify")
        messages = [one for one in signatures if "messages/" in one]
        assert len(messages) == 10, "every message of the protocol is there, at either side"
        assert len(chains) == 2
        assert evidence.failing(folder, signatures + chains) == []
        (release,) = folder.rglob("*-Release.xml")
        release.write_bytes(release.read_bytes().replace(migration["id"].encode(), b"0" * 36))
        assert evidence.failing(folder, signatures), "a changed document convinced xmlsec1"
