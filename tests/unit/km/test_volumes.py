# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest

from sv2m import errors
from sv2m.km.volumes import VolumeImporter, transit_name
from tests.unit.km.fakes import URL, Encryption, MemoryImages, MemoryKeys, MemoryStorage, VolumeType

MIGRATION = "5b0dfd1c-71f1-4b0c-9d4f-0a4d6d5a0001"
PROJECT = "research"
EIK = bytes(range(32))


class World:
    def __init__(self) -> None:
        self.keys = MemoryKeys()
        self.storage = MemoryStorage(self.keys)
        self.importer = VolumeImporter(self.keys, self.storage, MemoryImages(self.storage), 10)
        self.eik_ref = self.keys.store(EIK, name="eik", secret_type="symmetric")

    def make(self, *, encrypted: bool = True, volume_type: str | None = None) -> str:
        return self.importer.make(
            MIGRATION,
            project_id=PROJECT,
            name="root",
            size_gb=1,
            eik_ref=self.eik_ref if encrypted else None,
            cipher="aes-xts-plain64" if encrypted else "",
            key_size=256 if encrypted else 0,
            boot=True,
            volume_type=volume_type,
        )

    def key_of(self, volume_id: str) -> bytes:
        return self.keys.secrets[URL + self.storage.encryptions[volume_id].key_id].payload


@pytest.fixture
def world() -> World:
    return World()


def test_the_volumes_key_is_the_eik_and_nothing_else_stays(world: World) -> None:
    volume_id = world.make()
    assert world.key_of(volume_id) == EIK
    assert world.storage.volumes[volume_id].bootable
    assert world.storage.images == {}
    # The clone bears the transit secret's name, and it alone is left of that name.
    assert len(world.keys.find(transit_name(MIGRATION), project_id=PROJECT)) == 1


def test_repeating_makes_nothing_twice_and_keeps_the_key(world: World) -> None:
    assert world.make() == world.make()
    assert len(world.storage.volumes) == 1
    assert world.key_of("v1") == EIK


def test_buffers_that_held_keys_are_wiped(world: World) -> None:
    world.make()
    assert world.keys.handed_out
    assert not any(any(buffer) for buffer in world.keys.handed_out)


@pytest.mark.parametrize("step", ["image", "create", "wait", "place"])
def test_what_failed_half_way_is_removed(world: World, step: str) -> None:
    world.storage.fails = step
    with pytest.raises(errors.HostError):
        world.make()
    world.storage.fails = ""
    world.importer.remove(MIGRATION, PROJECT)
    assert (world.storage.volumes, world.storage.images) == ({}, {})
    assert list(world.keys.secrets) == [world.eik_ref]


@pytest.mark.parametrize("step", ["image", "create", "wait"])
def test_what_failed_half_way_can_be_taken_up(world: World, step: str) -> None:
    world.storage.fails = step
    with pytest.raises(errors.HostError):
        world.make()
    world.storage.fails = ""
    assert world.key_of(world.make()) == EIK
    assert len(world.storage.volumes) == 1


def test_a_crash_amid_the_removal_of_what_no_host_could_make_loses_no_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cinder deletes such a volume without its key."""
    world.storage.fails = "place"
    with pytest.raises(errors.HostError):
        world.make()
    with monkeypatch.context() as crash:
        crash.setattr(world.keys, "delete", Mock(side_effect=errors.ServiceUnavailable("Barbican is away")))
        with pytest.raises(errors.ServiceUnavailable):
            world.importer.remove(MIGRATION, PROJECT)
    world.importer.remove(MIGRATION, PROJECT)
    assert list(world.keys.secrets) == [world.eik_ref]


def test_a_volume_that_loses_its_host_amid_its_removal_leaves_no_key(world: World) -> None:
    volume_id = world.make()

    def loses_its_host() -> None:
        world.storage.volumes[volume_id] = replace(world.storage.volumes[volume_id], placed=False)

    world.storage.before_deletion = loses_its_host
    world.importer.remove(MIGRATION, PROJECT)
    assert list(world.keys.secrets) == [world.eik_ref]


def test_the_type_must_encrypt_as_a_did(world: World) -> None:
    world.storage.volume_types = [one for one in world.storage.volume_types if one.name != "luks"]
    with pytest.raises(errors.NoRoom, match="aes-xts-plain64, 256 bits"):
        world.make()


@pytest.mark.parametrize(
    ("provider", "taken"),
    [("nova.volume.encryptors.luks.LuksEncryptor", True), ("LuksEncryptor", True), ("luks2", False)],
)
def test_a_type_is_luks_if_nova_takes_it_for_luks(world: World, provider: str, taken: bool) -> None:
    world.storage.volume_types = [VolumeType("theirs", Encryption(provider=provider))]
    if taken:
        assert world.importer.type_for("aes-xts-plain64", 256) == "theirs"
    else:
        with pytest.raises(errors.NoRoom):
            world.importer.type_for("aes-xts-plain64", 256)


def test_the_agreements_type_is_taken_where_it_names_one(world: World) -> None:
    world.storage.volume_types.append(VolumeType("gold", Encryption()))
    world.make(volume_type="gold")
    assert world.storage.volumes["v1"].encrypted


@pytest.mark.parametrize("named", ["gold", "plain"])
def test_the_agreements_type_must_encrypt_as_a_did_too(world: World, named: str) -> None:
    world.storage.volume_types.append(VolumeType("gold", Encryption(key_size=512)))
    with pytest.raises(errors.NoRoom, match=f"no volume type of name {named}"):
        world.make(volume_type=named)


def test_a_cinder_that_makes_its_own_key_is_found_out(world: World) -> None:
    world.storage.clones = False
    with pytest.raises(errors.HostError, match="a key of its own instead of the EIK"):
        world.make()


def test_a_plain_disk_gets_a_plain_volume(world: World) -> None:
    volume_id = world.make(encrypted=False)
    assert not world.storage.volumes[volume_id].encrypted
    assert list(world.keys.secrets) == [world.eik_ref]


def test_a_plain_disk_in_an_encrypting_type_is_refused(world: World) -> None:
    # Nova would format it when it attaches it.
    with pytest.raises(errors.NoRoom, match="luks encrypts"):
        world.make(encrypted=False, volume_type="luks")


def test_removing_nothing_is_fine(world: World) -> None:
    world.importer.remove(MIGRATION, None)
    world.importer.remove(MIGRATION, PROJECT)


def test_the_key_of_a_volume_that_has_arrived_stays_and_so_do_its_clones(world: World) -> None:
    """An older database has it removed once more; nothing but the name tells whose these keys were."""
    volume_id = world.make()
    world.keys.store(EIK, name=transit_name(MIGRATION), secret_type="symmetric", project_id=PROJECT)
    world.storage.mark_arrived(MIGRATION, PROJECT)
    left = world.keys.store(
        EIK, name=transit_name(MIGRATION), secret_type="symmetric", mode="cbc", project_id=PROJECT
    )
    world.importer.remove(MIGRATION, PROJECT)
    assert world.key_of(volume_id) == EIK
    assert len(world.keys.find(transit_name(MIGRATION), project_id=PROJECT)) == 2
    assert left not in world.keys.secrets


def test_a_strangers_volume_with_the_mark_is_left_alone(world: World) -> None:
    """Whoever knows the migration's id can put the mark on a volume of his own, with the name that ours would have."""
    his = world.storage.create("stranger", "root", 1, metadata={"sv2m_migration": MIGRATION}).id
    made = world.make()
    assert made != his
    world.storage.mark_arrived(MIGRATION, PROJECT)
    assert [one.id for one in world.storage.find(MIGRATION)] == [his]
    world.importer.remove(MIGRATION, PROJECT)
    assert his in world.storage.volumes
