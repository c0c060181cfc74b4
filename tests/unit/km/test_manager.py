# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sv2m import errors
from sv2m.km.manager import KeyManager
from sv2m.km.pool import Pool
from sv2m.km.server import Endpoint
from sv2m.km.volumes import VolumeImporter
from sv2m.protocol import encryption
from tests.unit.km.fakes import URL, Encryption, MemoryImages, MemoryKeys, MemoryStorage

MIGRATION = "5b0dfd1c-71f1-4b0c-9d4f-0a4d6d5a0001"
OTHER = "5b0dfd1c-71f1-4b0c-9d4f-0a4d6d5a0002"
DIGEST = bytes(range(32))
EIK = bytes(range(100, 132))


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    return encryption.new_ephemeral_key()


class World:
    def __init__(self, pair: tuple[bytes, bytes]) -> None:
        self.keys = MemoryKeys()
        self.storage = MemoryStorage(self.keys)
        self.manager = KeyManager(self.keys, self.storage, Pool(lambda: pair, 0))
        importer = VolumeImporter(self.keys, self.storage, MemoryImages(self.storage), 10)
        self.endpoint = Endpoint(self.manager, importer, self.keys, lambda: "sv2m-user")
        self.vmk_ref = self.manager.make_vmk(MIGRATION)
        self.eik_ref = self.keys.store(EIK, name="eik", secret_type="symmetric")

    def owned(self, *volume_ids: str) -> dict[str, str]:
        """Volumes of a tenant, whose keys SV2M's user is let read just now."""
        secrets = {}
        for volume_id in volume_ids:
            ref = self.keys.store(EIK, name="volume's", secret_type="symmetric", project_id="tenant")
            self.storage.encryptions[volume_id] = Encryption(key_id=ref.removeprefix(URL))
            self.keys.readable.add(ref)
            secrets[volume_id] = ref
        return secrets


@pytest.fixture
def world(pair: tuple[bytes, bytes]) -> World:
    return World(pair)


def test_keys_go_from_barbican_to_barbican(world: World) -> None:
    ekb_ref, public_key = world.manager.make_ekb(MIGRATION)
    wrapped = world.manager.wrap(MIGRATION, world.vmk_ref, [world.eik_ref], public_key, DIGEST)
    assert [(key.name, key.kind, key.size) for key in wrapped] == [
        ("VMK", "vmk", 256),
        ("EIK-0", "luks-passphrase", 256),
    ]
    vmk_ref, eik_refs = world.manager.unwrap(MIGRATION, ekb_ref, wrapped, DIGEST)
    assert world.keys.secrets[vmk_ref].payload == world.keys.secrets[world.vmk_ref].payload
    assert [world.keys.secrets[ref].payload for ref in eik_refs] == [EIK]
    assert not any(any(buffer) for buffer in world.keys.handed_out)


def test_only_this_session_opens_them_and_nothing_stays(world: World) -> None:
    ekb_ref, public_key = world.manager.make_ekb(MIGRATION)
    wrapped = world.manager.wrap(MIGRATION, world.vmk_ref, [world.eik_ref], public_key, DIGEST)
    before = dict(world.keys.secrets)
    with pytest.raises(errors.IntegrityError):
        world.manager.unwrap(MIGRATION, ekb_ref, wrapped, bytes(32))
    assert world.keys.secrets == before


@pytest.mark.parametrize("number", [0, 1])
def test_a_key_that_a_did_not_commit_to_leaves_nothing(world: World, number: int) -> None:
    ekb_ref, public_key = world.manager.make_ekb(MIGRATION)
    wrapped = world.manager.wrap(MIGRATION, world.vmk_ref, [world.eik_ref], public_key, DIGEST)
    wrapped[number] = replace(wrapped[number], commitment=bytes(32))
    before = dict(world.keys.secrets)
    with pytest.raises(errors.IntegrityError, match="commits to"):
        world.manager.unwrap(MIGRATION, ekb_ref, wrapped, DIGEST)
    assert world.keys.secrets == before


def test_keys_of_another_migration_are_refused(world: World) -> None:
    ekb_ref, public_key = world.manager.make_ekb(OTHER)
    wrapped = world.manager.wrap(MIGRATION, world.vmk_ref, [], public_key, DIGEST)
    with pytest.raises(errors.IntegrityError):
        world.manager.unwrap(OTHER, ekb_ref, wrapped, DIGEST)


def test_a_plan_that_is_not_vmk_first_is_refused(world: World) -> None:
    ekb_ref, public_key = world.manager.make_ekb(MIGRATION)
    wrapped = world.manager.wrap(MIGRATION, world.vmk_ref, [world.eik_ref], public_key, DIGEST)
    for keys in (wrapped[::-1], wrapped[1:], [], [wrapped[0], wrapped[0]]):
        with pytest.raises(errors.IntegrityError):
            world.manager.unwrap(MIGRATION, ekb_ref, keys, DIGEST)


def test_the_trailers_signature_opens_under_its_vmk_only(world: World) -> None:
    sealed = world.manager.seal_signature(world.vmk_ref, b"<Signature/>")
    assert b"Signature" not in sealed
    assert world.manager.open_signature(world.vmk_ref, sealed) == b"<Signature/>"
    for bad in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:20], b""):
        with pytest.raises(errors.IntegrityError):
            world.manager.open_signature(world.vmk_ref, bad)
    with pytest.raises(errors.IntegrityError):
        world.manager.open_signature(world.manager.make_vmk(OTHER), sealed)


def test_eiks_are_those_of_the_encrypted_volumes_in_order(world: World) -> None:
    world.storage.encryptions = {"v1": Encryption(key_id="k1"), "v3": Encryption(key_id="k3", key_size=512)}
    found = world.manager.find_eiks(["v3", "v2", "v1"])
    assert [(eik.volume_id, eik.ref.rsplit("/", 1)[-1], eik.key_size) for eik in found] == [
        ("v3", "k3", 512),
        ("v1", "k1", 256),
    ]


def test_a_volumes_key_is_copied_while_it_can_be_read_and_wrapped_from_the_copy(world: World) -> None:
    secrets = world.owned("v1", "v2")
    (first, copy), (second, _) = world.manager.copy_eiks(MIGRATION, secrets)
    assert [(eik.volume_id, eik.ref) for eik in (first, second)] == list(secrets.items())
    world.keys.readable.clear()
    ekb_ref, public_key = world.manager.make_ekb(MIGRATION)
    wrapped = world.manager.wrap(MIGRATION, world.vmk_ref, [copy], public_key, DIGEST)
    _, (eik_ref,) = world.manager.unwrap(MIGRATION, ekb_ref, wrapped, DIGEST)
    assert world.keys.secrets[eik_ref].payload == EIK
    assert not any(any(buffer) for buffer in world.keys.handed_out)
    assert world.manager.forget(MIGRATION, 2) == []
    assert set(world.keys.secrets) == {world.eik_ref, *secrets.values()}


def test_only_the_key_of_the_very_volume_is_copied(world: World) -> None:
    secrets = world.owned("v1", "v2")
    # SV2M's user may read this one, too: somebody else's migration begins just now.
    others = world.owned("v3")["v3"]
    before = dict(world.keys.secrets)
    for named in (
        {**secrets, "v2": others},
        {**secrets, "v2": world.vmk_ref},
        {"v1": secrets["v2"], "v2": secrets["v1"]},
        {**secrets, "plain": others},
    ):
        with pytest.raises(errors.ServerNotMovable, match="not those that SV2M was let read"):
            world.manager.copy_eiks(MIGRATION, named)
    assert world.keys.secrets == before
    assert not world.keys.handed_out


def test_a_key_that_cannot_be_read_leaves_no_copy_of_the_others(world: World) -> None:
    secrets = world.owned("v1", "v2")
    world.keys.readable.remove(secrets["v2"])
    before = dict(world.keys.secrets)
    with pytest.raises(errors.KeyManagerError, match="may not read"):
        world.manager.copy_eiks(MIGRATION, secrets)
    assert world.keys.secrets == before
    assert not any(any(buffer) for buffer in world.keys.handed_out)


@pytest.mark.parametrize("how", [Encryption(control_location="back-end"), Encryption(provider="plain")])
def test_encryption_that_no_key_of_ours_opens_is_refused(world: World, how: Encryption) -> None:
    world.storage.encryptions = {"v1": how}
    with pytest.raises(errors.ServerNotMovable, match="v1 is encrypted by"):
        world.manager.find_eiks(["v1"])


def test_destroying_tells_what_is_left(world: World) -> None:
    world.keys.stuck = {world.eik_ref}
    assert world.manager.destroy([world.vmk_ref, world.eik_ref, "http://gone/1"]) == [world.eik_ref]
    assert list(world.keys.secrets) == [world.eik_ref]


def test_forgetting_finds_what_no_row_remembers(world: World) -> None:
    ekb_ref, public_key = world.manager.make_ekb(MIGRATION)
    wrapped = world.manager.wrap(MIGRATION, world.vmk_ref, [world.eik_ref, world.eik_ref], public_key, DIGEST)
    world.manager.unwrap(MIGRATION, ekb_ref, wrapped, DIGEST)
    other = world.manager.make_vmk(OTHER)
    assert world.manager.forget(MIGRATION) == []
    assert set(world.keys.secrets) == {world.eik_ref, other}


def test_a_key_that_could_not_be_deleted_is_found_again_when_those_before_it_are_gone(world: World) -> None:
    ekb_ref, public_key = world.manager.make_ekb(MIGRATION)
    wrapped = world.manager.wrap(MIGRATION, world.vmk_ref, [world.eik_ref, world.eik_ref], public_key, DIGEST)
    _, (_, second) = world.manager.unwrap(MIGRATION, ekb_ref, wrapped, DIGEST)
    world.keys.stuck = {second}
    assert world.manager.forget(MIGRATION, 2) == [second]
    assert world.manager.forget(MIGRATION, 2) == [second]
    world.keys.stuck.clear()
    assert world.endpoint.forget({}, MIGRATION, 2) == {"left": []}
    assert set(world.keys.secrets) == {world.eik_ref}


def test_an_access_list_that_cannot_be_cleaned_keeps_nothing_waiting(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.keys.secrets[world.eik_ref].project = "the owner's"
    assert world.endpoint.revoke({}, {"secret_ref": world.eik_ref, "added": True}) == {"revoked": False}
    assert "openstack acl user remove --user sv2m-user" in caplog.text
    assert world.endpoint.revoke({}, {"secret_ref": world.eik_ref, "added": False}) == {"revoked": False}


def test_an_agent_reads_what_it_is_lent_until_it_is_taken_back(world: World) -> None:
    ekb_ref, _ = world.manager.make_ekb(MIGRATION)
    world.endpoint.grant({}, [world.vmk_ref], "agent")
    assert world.keys.readers == {world.vmk_ref: {"agent"}}
    world.endpoint.withdraw({}, [world.vmk_ref, f"{URL}gone"], "agent")
    assert not any(world.keys.readers.values())
    assert ekb_ref in world.keys.secrets


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _calls(world: World, pair: tuple[bytes, bytes]) -> list[Callable[[], Any]]:
    ekb_ref, _ = world.manager.make_ekb(MIGRATION)
    endpoint = world.endpoint
    wrapped = endpoint.wrap(
        {},
        migration_id=MIGRATION,
        vmk_ref=world.vmk_ref,
        eik_refs=[world.eik_ref],
        recipient_b64=b64(pair[0]),
        context_digest_b64=b64(DIGEST),
    )["keys"]
    volume = {"project_id": "p", "name": "n", "size_gb": 1, "cipher": "aes-xts-plain64", "key_size": 256}
    return [
        lambda: endpoint.make_vmk({}, OTHER),
        lambda: endpoint.make_ekb({}, OTHER),
        lambda: endpoint.find_eiks({}, ["v1"], None, "p"),
        lambda: endpoint.copy_eiks({}, OTHER, world.owned("v1", "v2")),
        lambda: endpoint.wrap(
            {},
            migration_id=MIGRATION,
            vmk_ref=world.vmk_ref,
            eik_refs=[world.eik_ref],
            recipient_b64=b64(pair[0]),
            context_digest_b64=b64(DIGEST),
        ),
        lambda: endpoint.unwrap(
            {}, migration_id=MIGRATION, ekb_ref=ekb_ref, keys=wrapped, context_digest_b64=b64(DIGEST)
        ),
        lambda: endpoint.seal_signature({}, world.vmk_ref, b64(b"<s/>")),
        lambda: endpoint.import_volume(
            {}, migration_id=MIGRATION, eik_ref=world.eik_ref, boot=True, **volume
        ),
        lambda: endpoint.grant({}, [world.vmk_ref], "u"),
        lambda: endpoint.revoke({}, {"secret_ref": world.eik_ref, "added": True}),
        lambda: endpoint.remove_imported({}, MIGRATION, "p"),
        lambda: endpoint.destroy({}, [world.vmk_ref]),
        lambda: endpoint.forget({}, MIGRATION),
    ]


class FailingKeys(MemoryKeys):
    """Barbican's library at its most talkative: whatever it is given stands in its exception."""

    def store(self, payload: bytes | bytearray, **kwargs: Any) -> str:
        super().store(payload, **kwargs)
        raise errors.KeyManagerError(f"Barbican: cannot store {kwargs['name']} (HTTP 500)")

    def delete(self, ref: str, *, project_id: str | None = None) -> None:
        raise errors.KeyManagerError(f"Barbican: cannot delete {ref} (HTTP 500)")


@pytest.mark.parametrize("number", range(13))
@pytest.mark.parametrize("failing", [False, True])
def test_no_answer_error_or_log_has_a_key(
    pair: tuple[bytes, bytes], number: int, failing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World(pair)
    call = _calls(world, pair)[number]
    if failing:
        world.keys.__class__ = FailingKeys
    try:
        said = json.dumps(call())
    except errors.SV2MError as error:
        chain: list[BaseException] = []
        cause: BaseException | None = error
        while cause is not None:
            chain.append(cause)
            cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        said = " ".join(repr(one) + str(one) for one in chain)
    said += caplog.text
    for secret in world.keys.secrets.values():
        for form in (secret.payload.hex(), b64(secret.payload), repr(secret.payload)[2:-1]):
            assert form not in said
