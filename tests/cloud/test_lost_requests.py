# SPDX-License-Identifier: Apache-2.0
"""What Nova and Cinder were asked for and never did, on the real ones: SV2M asks again, and gets it done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from oslo_config import cfg

from lab.guests import until
from lab.services import sv2m
from sv2m import conf as options
from sv2m import errors
from sv2m.clients import cinder, lost_requests
from sv2m.clients.cinder import Cinder
from sv2m.clients.keystone import Keystone
from sv2m.clients.nova import Nova
from tests.cloud.world import Side, World
from tests.faults import striking

#: Seconds that SV2M gives them to begin; a few times what they take.
PATIENCE = 8.0


@pytest.fixture
def keystone(world: World, monkeypatch: pytest.MonkeyPatch) -> Keystone:
    """SV2M's user at A. To be used in A's network."""
    monkeypatch.setattr(lost_requests, "BEGINS_WITHIN", PATIENCE)
    monkeypatch.setattr(cinder, "_BEGINS_WITHIN", PATIENCE)
    configuration = cfg.ConfigOpts()
    options.register(configuration)
    configuration(["--config-file", str(sv2m.config(world.a.session.cloud))])
    return Keystone(configuration)


@contextmanager
def _lost(side: Side, *services: str) -> Iterator[None]:
    """What these services are asked for meanwhile is lost."""
    striking.lose_requests(side, *services)
    try:
        yield
    finally:
        striking.hear(side.session.cloud)


def test_a_server_is_paused_goes_on_and_is_deleted_though_the_broker_lost_each_request(
    world: World, keystone: Keystone
) -> None:
    """Without being asked again it would be "pausing" until nova-compute is started again, and so on."""
    server = world.a.manager.boot("unheard", volume_type=None)
    nova = Nova(keystone)
    with world.a.session.in_network():
        with _lost(world.a, "nova-compute"):
            nova.pause(server)
        nova.wait_for(server, {"PAUSED"}, 120, ours=True)
        assert world.a.session.run(["virsh", "domstate", server]).stdout.strip() == "paused"
        with _lost(world.a, "nova-compute"):
            nova.unpause(server)
        nova.wait_for(server, {"ACTIVE"}, 120, ours=True)
        assert world.a.session.run(["virsh", "domstate", server]).stdout.strip() == "running"
        with _lost(world.a, "nova-compute"):
            world.a.manager.act(server, "forceDelete")
        nova.delete(server, 120)
    assert world.a.admin.show(server) is None
    done = world.a.admin.call("GET", "nova-api", f"/servers/{server}/os-instance-actions")["instanceActions"]
    assert [one["action"] for one in done].count("resetState") >= 3, "each of them was lost"


def test_a_volume_is_deleted_though_the_broker_lost_the_request(world: World, keystone: Keystone) -> None:
    volume = _empty_volume(world.a)
    with world.a.session.in_network():
        with _lost(world.a, "cinder-volume"):
            world.a.manager.call("DELETE", "cinder-api", f"/volumes/{volume}")
        assert _status(world.a, volume) == "deleting"
        Cinder(keystone).delete(volume, 120)
    assert _status(world.a, volume) is None


def test_a_volume_is_deleted_that_nova_left_attached(world: World, keystone: Keystone) -> None:
    """Cinder is away while Nova deletes the server, and Nova does not mind."""
    server = world.a.manager.boot("attached")
    shown = world.a.admin.show(server)
    assert shown is not None
    (volume,) = (one["id"] for one in shown["os-extended-volumes:volumes_attached"])
    with world.a.session.in_network():
        with pytest.raises(errors.SV2MError, match="Compute API"):
            Cinder(keystone).delete(volume, 120)  # the server is there: Cinder asks Nova
        world.a.kill("cinder-api")
        world.a.manager.act(server, "forceDelete")
        until(lambda: world.a.admin.show(server) is None, f"Nova has deleted {server}")
        world.a.start("cinder-api")
        assert _status(world.a, volume) == "in-use"
        Cinder(keystone).delete(volume, 120)
    assert _status(world.a, volume) is None


def _empty_volume(side: Side) -> str:
    wanted = {"volume": {"name": "unheard", "size": 1}}
    made: str = side.manager.call("POST", "cinder-api", "/volumes", wanted)["volume"]["id"]
    until(lambda: _status(side, made) == "available", f"volume {made} is available")
    return made


def _status(side: Side, volume: str) -> str | None:
    listed = side.admin.call("GET", "cinder-api", "/volumes/detail?all_tenants=1")["volumes"]
    return next((one["status"] for one in listed if one["id"] == volume), None)
