# SPDX-License-Identifier: Apache-2.0
"""Somebody changes the guest, or its disks, while it is taken out: A says what moved, before the commit.

The guest goes on at A, and what was done to it stays done; the fixture looks whether it counts.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from sv2m import errors
from sv2m.agent.libvirt.source import LibvirtSource
from tests.agent.conftest import LOCAL_SIZE, World
from tests.agent.hosts import Server, until
from tests.agent.leftovers import ask
from tests.agent.move import Move
from tests.agent.test_faults import to_precopy, to_ready, to_sealed

DISK_ONLY = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
)
NIC = "<interface type='user'><mac address='fa:16:3e:00:00:02'/><model type='virtio'/></interface>"


@pytest.fixture
def overlay(world: World) -> Iterator[Path]:
    """Where a backup tool puts one; afterwards its content is in the image below it again."""
    path = world.server.local.with_suffix(".overlay")
    yield path
    domain = world.server.domain
    world.hosts.resume_guest()
    domain.blockCommit("vdb", None, None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
    until("the commit is ready", lambda: domain.blockJobInfo("vdb", 0)["cur"] == domain.blockJobInfo("vdb", 0)["end"])

    def pivoted() -> bool:
        try:
            domain.blockJobAbort("vdb", libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
        except libvirt.libvirtError:
            return False
        return True

    until("the overlay is gone", pivoted)
    path.unlink()


def snapshot(server: Server, overlay: Path) -> None:
    """As ``virsh snapshot-create-as --disk-only`` does: from now on the guest writes to the overlay."""
    base = ["-b", str(server.local), "-F", "qcow2"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *base, str(overlay)], check=True)
    disks = (
        f"<disk name='vdb' snapshot='external'><driver type='qcow2'/><source file='{overlay}'/></disk>"
        "<disk name='vda' snapshot='no'/>"
    )
    server.domain.snapshotCreateXML(f"<domainsnapshot><disks>{disks}</disks></domainsnapshot>", DISK_ONLY)


def stop(move: Move) -> None:
    """The engine takes the source for ready, and goes on."""
    move.server.domain.suspend()
    move.a.call("stop_and_finish", migration_id=move.id)


def fails_with(world: World, move: Move, code: str, *words: str) -> None:
    error = move.error(world.a)
    assert error["code"] == code, error
    for word in words:
        assert word in error["message"]


def test_a_snapshot_amid_the_copying_ends_it(world: World, overlay: Path) -> None:
    """What is copied is an image that the guest does not write to any more."""
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_precopy(move, placeholder)
    snapshot(world.server, overlay)
    fails_with(world, move, "disk-replaced", "vdb", "images deep")
    assert world.server.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


def test_a_snapshot_after_the_last_round_ends_it_before_the_guest_is_sealed(world: World, overlay: Path) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_ready(move, placeholder)
    snapshot(world.server, overlay)
    stop(move)
    fails_with(world, move, "disk-replaced", "vdb")


def test_a_volume_that_grows_behind_the_last_byte_is_not_released(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU resizes no disk that we export; when we have closed it, it does, and the new end is in no bitmap."""
    domain, close = world.server.domain, LibvirtSource.close_disks

    def extend(source: LibvirtSource) -> None:
        close(source)
        domain.blockResize("vdb", 2 * LOCAL_SIZE, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    monkeypatch.setattr(LibvirtSource, "close_disks", extend)
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_sealed(move, placeholder)
    with pytest.raises(errors.Conflict, match=f"had {LOCAL_SIZE} bytes") as caught:
        world.a.call("check_unchanged", migration_id=move.id)
    assert caught.value.code == "disk-resized"
    world.a.call("abort", migration_id=move.id)
    world.hosts.resume_guest()
    domain.blockResize("vdb", LOCAL_SIZE, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def test_a_disk_that_qemu_copies_elsewhere_ends_it(world: World) -> None:
    """As Cinder's migration of an attached volume does: at its end the guest has another image."""
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_precopy(move, placeholder)
    copy, domain = world.server.local.with_suffix(".copy"), world.server.domain
    target = f"<disk type='file'><driver type='qcow2'/><source file='{copy}'/></disk>"
    domain.blockCopy("vdb", target, {}, libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB)
    try:
        fails_with(world, move, "disk-busy", "mirror")
        with pytest.raises(errors.ServerNotMovable, match="mirror"):
            world.a.call("describe", server_id=world.server.id)
    finally:
        domain.blockJobAbort("vdb", 0)
        copy.unlink()


@pytest.mark.parametrize("reach", [to_ready, to_sealed])
def test_a_record_of_changes_that_is_gone_is_not_one_without_changes(
    world: World, reach: Callable[[Move, Server], None]
) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    reach(move, placeholder)
    for node in ask(world.server.domain, "query-named-block-nodes", flat=True):
        for bitmap in node.get("dirty-bitmaps", ()):
            ask(world.server.domain, "block-dirty-bitmap-remove", node=node["node-name"], name=bitmap["name"])
    if reach is to_ready:
        stop(move)
        fails_with(world, move, "record-lost", "vda")
    else:
        with pytest.raises(errors.Conflict) as caught:
            world.a.call("check_unchanged", migration_id=move.id)
        assert caught.value.code == "record-lost"


def test_a_nic_that_is_plugged_in_ends_it(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_precopy(move, placeholder)
    domain = world.server.domain
    domain.attachDeviceFlags(NIC, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    try:
        fails_with(world, move, "hardware-changed", "plugged since: ", "fa:16:3e:00:00:02")
    finally:
        domain.detachDeviceFlags(NIC, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        until("the NIC is gone", lambda: "fa:16:3e:00:00:02" not in domain.XMLDesc(0))


def test_what_qemu_would_not_send_is_refused_before_it_is_offered(world: World) -> None:
    """QEMU's own reason; which of the many there are does not matter."""
    image, domain = world.hosts.directory / "blocks.vdi", world.server.domain
    subprocess.run(["qemu-img", "create", "-q", "-f", "vdi", str(image), "1M"], check=True)
    image.chmod(0o666)
    file = {"driver": "file", "filename": str(image)}
    ask(domain, "blockdev-add", **{"driver": "vdi", "node-name": "blocks", "file": file})
    try:
        with pytest.raises(errors.ServerNotMovable, match="vdi format") as caught:
            world.a.call("describe", server_id=world.server.id)
        assert caught.value.code == "migration-blocked"
    finally:
        ask(domain, "blockdev-del", **{"node-name": "blocks"})
    world.a.call("describe", server_id=world.server.id)


def test_a_guest_that_is_reset_amid_the_copying_goes_on(world: World) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    to_precopy(move, placeholder)
    world.server.domain.reset()
    until("the guest boots anew", lambda: len({boot for boot, _ in world.server.counts()}) > 1, 180)
    assert world.a.call("status", migration_id=move.id)["state"] in ("precopy", "ready")


@pytest.mark.parametrize("reach", [to_precopy, to_ready])
def test_a_guest_that_ends_is_called_so(world: World, reach: Callable[[Move, Server], None]) -> None:
    placeholder = world.hosts.placeholder()
    move = world.move()
    reach(move, placeholder)
    world.server.domain.destroy()
    try:
        if reach is to_ready:
            move.a.call("stop_and_finish", migration_id=move.id)
        fails_with(world, move, "server-ended", world.server.id)
    finally:
        boots = {boot for boot, _ in world.server.counts()}
        world.server.domain.create()
        until("the guest boots anew", lambda: {boot for boot, _ in world.server.counts()} - boots, 180)
