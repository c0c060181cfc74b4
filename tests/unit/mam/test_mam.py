# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from sv2m import errors, protocol
from sv2m.mam.keyring import Keyring
from sv2m.mam.server import Endpoint
from tests.unit.cmm.authority import CLOUD, Certified, root

MIGRATION = "5b0dfd1c-71f1-4b0c-9d4f-0a4d6d5a0001"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def closure() -> str:
    at = datetime(2026, 6, 1, 12, tzinfo=UTC)
    return b64(protocol.encode(protocol.Closure(MIGRATION, bytes(48), "withdrawn", protocol.NOTHING, at)))


class World:
    """CMM and Barbican, as MAM sees them."""

    def __init__(self, lifetime: float = 300) -> None:
        self.ca = root()
        self.own = self.ca.certify(CLOUD)
        self.ref = "http://barbican.test/v1/secrets/1"
        self.stored = {self.ref: self.own.key_pem}
        self.read_refs: list[str] = []
        self.buffers: list[bytearray] = []
        self.time = 0.0
        self.keyring = Keyring(self, self, lifetime, clock=lambda: self.time)
        self.endpoint = Endpoint(self.keyring)

    def identity(self, context: dict[str, Any]) -> dict[str, Any]:
        return {"chain_b64": [b64(self.own.der)], "private_key_ref": self.ref}

    def read(self, ref: str) -> bytearray:
        self.read_refs.append(ref)
        buffer = bytearray(self.stored[ref])
        self.buffers.append(buffer)
        return buffer

    def renew(self) -> Certified:
        self.own = self.ca.certify(CLOUD)
        self.ref = "http://barbican.test/v1/secrets/2"
        self.stored[self.ref] = self.own.key_pem
        return self.own


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_signed_here_verifies_over_there(world: World) -> None:
    signed = world.endpoint.sign({}, closure())
    verified = world.endpoint.verify({}, signed["document_b64"], "Closure", [b64(world.own.der)])
    assert verified == {"document_b64": closure(), "digest_b64": signed["digest_b64"]}


def test_another_kind_another_signer_another_content(world: World) -> None:
    signed = world.endpoint.sign({}, closure())["document_b64"]
    chain = [b64(world.own.der)]
    changed = b64(base64.b64decode(signed).replace(b"withdrawn", b"removed"))
    for document, kind, leaf in (
        (signed, "Receipt", chain),
        (signed, "Closure", [b64(world.ca.certify(CLOUD).der)]),
        (changed, "Closure", chain),
        (signed, "Closure", []),
        (closure(), "Closure", chain),
    ):
        with pytest.raises(errors.PeerError):
            world.endpoint.verify({}, document, kind, leaf)


def test_a_key_that_is_not_the_certificates_signs_nothing(world: World) -> None:
    world.stored[world.ref] = world.ca.certify(CLOUD).key_pem
    with pytest.raises(errors.ConfigurationError):
        world.endpoint.sign({}, closure())


def test_nonces_are_fresh_and_256_bits(world: World) -> None:
    nonces = [base64.b64decode(world.endpoint.nonce({})["nonce_b64"]) for _ in range(50)]
    assert {len(one) for one in nonces} == {32}
    assert len(set(nonces)) == 50


def test_the_key_is_fetched_once_and_wiped_after_its_time(world: World) -> None:
    world.endpoint.sign({}, closure())
    world.endpoint.sign({}, closure())
    assert len(world.read_refs) == 1
    kept = world.keyring._kept[world.ref].private_key
    assert any(kept)
    world.time = 301
    world.endpoint.sign({}, closure())
    assert len(world.read_refs) == 2
    assert not any(kept)


def test_after_a_renewal_the_new_key_signs(world: World) -> None:
    world.endpoint.sign({}, closure())
    own = world.renew()
    signed = world.endpoint.sign({}, closure())["document_b64"]
    assert world.endpoint.verify({}, signed, "Closure", [b64(own.der)])
    assert len(world.read_refs) == 2


def test_stopping_wipes_every_key(world: World) -> None:
    world.endpoint.sign({}, closure())
    kept = world.keyring._kept[world.ref].private_key
    world.keyring.stop()
    assert not any(kept)
    assert not any(any(buffer) for buffer in world.buffers)


def test_no_key_is_kept_when_none_is_to_be() -> None:
    world = World(lifetime=0)
    world.endpoint.sign({}, closure())
    assert world.keyring._kept == {}
    assert not any(any(buffer) for buffer in world.buffers)


def test_no_answer_error_or_log_has_the_key(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = "".join(world.own.key_pem.decode().splitlines()[1:-1])
    said = json.dumps(world.endpoint.sign({}, closure()))
    for bad in (b64(b"<x/>"), b64(b"nonsense"), "", closure()[:-8]):
        with pytest.raises(errors.SV2MError) as caught:
            world.endpoint.sign({}, bad)
        said += repr(caught.value) + str(caught.value) + repr(caught.value.__cause__)
    said += caplog.text + repr(world.keyring._kept)
    assert body not in said
    assert body[:40] not in said
