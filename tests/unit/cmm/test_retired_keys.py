# SPDX-License-Identifier: Apache-2.0
"""A key outlives its certificate for as long as a peer may want something signed that only it can sign."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors, protocol
from sv2m.cmm.identity import RetiredKeys
from sv2m.db import certificates, engine, messages, migrations
from sv2m.db.models import Certificate
from tests.protocol import clouds
from tests.protocol.certificates import Identity
from tests.unit.cmm.authority import CLOUD, NOW
from tests.unit.cmm.test_enrolment import World


@pytest.fixture
def world(database: sa.Engine) -> World:
    return World()


def ended(migration_id: str, days: int, role: str, phase: str, *kinds: str) -> None:
    """A migration that began some days after the first certificate, and has ended."""
    with engine.session() as session:
        values = {"role": role, "peer": "b", "project_id": "p", "phase": phase, "status": "failed"}
        migrations.create(session, id=migration_id, now=NOW + timedelta(days=days), **values)
        for kind in kinds:
            messages.record(session, migration_id, kind, messages.SENT, kind.encode(), b"")


def renewed(world: World, days: int) -> Certificate:
    world.time = world.est.now = NOW + timedelta(days=days)
    return world.enrolment.renew()


def signs(world: World, migration_id: str) -> str:
    return str(world.endpoint.identity({"migration_id": migration_id})["private_key_ref"])


def test_an_undone_arrival_can_still_be_refused_with_the_key_that_prepared_it(world: World) -> None:
    first = world.enrolment.enrol()
    ended("m", 1, "destination", "undone", "Prepared")
    renewed(world, 61)
    retired = RetiredKeys(world.secrets, now=world.now)
    assert retired.sweep() == []
    assert signs(world, "m") == first.private_key_ref
    with engine.session() as session:
        messages.record(session, "m", "Closure", messages.RECEIVED, b"closure", b"")
    assert retired.sweep() == [first.id]


@pytest.mark.parametrize("phase", ["closing", "telling"])
def test_a_source_signs_its_closure_with_the_key_of_its_offer(world: World, phase: str) -> None:
    first = world.enrolment.enrol()
    ended("m", 1, "source", phase)
    renewed(world, 61)
    assert RetiredKeys(world.secrets, now=world.now).sweep() == []
    assert signs(world, "m") == first.private_key_ref


def test_what_was_destroyed_is_not_replaced_by_a_key_that_the_peer_has_not_seen(world: World) -> None:
    first = world.enrolment.enrol()
    ended("m", 1, "destination", "undone", "Prepared")
    second = renewed(world, 61)
    third = renewed(world, 122)
    with engine.session() as session:
        certificates.update(session, first.id, private_key_ref=None)
    with pytest.raises(errors.SigningKeyGone, match=f"certificate {first.serial}") as gone:
        signs(world, "m")
    assert (gone.value.code, gone.value.fault) == ("signing-key-gone", "local")
    ended("later", 62, "destination", "undone", "Prepared")
    assert signs(world, "later") == second.private_key_ref
    ended("now", 123, "destination", "undone", "Prepared")
    assert signs(world, "now") == third.private_key_ref


def test_only_the_keys_that_are_needed_stay(world: World) -> None:
    first = world.enrolment.enrol()
    second = renewed(world, 61)
    ended("m", 62, "destination", "undone", "Prepared")
    renewed(world, 122)
    assert RetiredKeys(world.secrets, now=world.now).sweep() == [first.id]
    assert signs(world, "m") == second.private_key_ref


def test_a_migration_from_before_every_certificate_signs_with_the_present_one(world: World) -> None:
    ended("m", -1, "source", "telling")
    world.est.answers = lambda csr: []
    with pytest.raises(errors.HostError):
        world.enrolment.enrol()
    world.est.answers = world.est._certify
    first = world.enrolment.enrol()
    assert signs(world, "m") == first.private_key_ref


def shown(migration_id: str, role: str, kind: str, certificate: Certificate) -> None:
    """What this cloud said when it introduced itself, by the clock of the host that says so."""
    leaf = x509.load_pem_x509_certificate((certificate.chain_pem or "").encode()).public_bytes(Encoding.DER)
    me = protocol.Party(CLOUD, (leaf,))
    if kind == "Offer":
        message: protocol.Message = clouds.offer(Identity(CLOUD, b"", (leaf,)), "cloud-b.sv2m")
    else:
        message = protocol.TokenBA1(clouds.MIGRATION, me, clouds.nonce("B"))
    with engine.session() as session:
        messages.record(session, migration_id, kind, messages.SENT, protocol.encode(message), b"")


@pytest.mark.parametrize(("role", "kind"), [("source", "Offer"), ("destination", "TokenBA1")])
@pytest.mark.parametrize("days", [-1, 62])
def test_whoever_signed_first_signs_all_whatever_the_clocks_say(world: World, role: str, kind: str, days: int) -> None:
    """The clocks of the hosts that make the row and that renew need not agree: what the peer was shown counts."""
    first = world.enrolment.enrol()
    ended("m", days, role, "telling" if role == "source" else "undone", "Prepared")
    shown("m", role, kind, first)
    renewed(world, 61)
    assert RetiredKeys(world.secrets, now=world.now).sweep() == []
    assert signs(world, "m") == first.private_key_ref


def test_a_renewal_before_the_offer_is_signed_does_not_reach_back(world: World) -> None:
    world.enrolment.enrol()
    ended("m", 1, "source", "telling")
    second = renewed(world, 61)
    shown("m", "source", "Offer", second)
    assert signs(world, "m") == second.private_key_ref
