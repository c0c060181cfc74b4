# SPDX-License-Identifier: Apache-2.0
"""From a key to a certificate in use, its renewal, and which migration signs with which."""

from __future__ import annotations

import argparse
import base64
import io
import itertools
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509

from sv2m import errors
from sv2m.cmm import commands, identity, request
from sv2m.cmm.enrolment import Enrolment
from sv2m.cmm.identity import RetiredKeys
from sv2m.cmm.ports import Issued
from sv2m.cmm.renewal import Renewal
from sv2m.cmm.revocation import RevocationLists
from sv2m.cmm.server import Endpoint
from sv2m.db import certificates, engine, migrations
from tests.unit.cmm.authority import CLOUD, CRL_URL, NOW, Certified, root


class Secrets:
    """Barbican."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, bytes]] = {}
        self.away = False
        self._numbers = itertools.count(1)

    def store(self, payload: bytes | bytearray, *, name: str, secret_type: str, **_: Any) -> str:
        if self.away:
            raise errors.KeyManagerError("Barbican: HTTP 500")
        ref = f"http://barbican.test/v1/secrets/{next(self._numbers)}"
        self.kept[ref] = (secret_type, bytes(payload))
        return ref

    def delete(self, ref: str) -> None:
        if self.away:
            raise errors.KeyManagerError("Barbican: HTTP 500")
        self.kept.pop(ref, None)

    def of_type(self, kind: str) -> list[bytes]:
        return [payload for secret_type, payload in self.kept.values() if secret_type == kind]


class Est:
    """The CA's EST server: certifies what it is asked to."""

    def __init__(self, ca: Certified, days: float = 90) -> None:
        self.ca = ca
        self.days = days
        self.asked: list[str] = []
        self.answers: Callable[[x509.CertificateSigningRequest], list[x509.Certificate]] = self._certify
        self.now = NOW

    def _certify(self, csr: x509.CertificateSigningRequest) -> list[x509.Certificate]:
        name = str(csr.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
        begins, ends = self.now - timedelta(minutes=1), self.now + timedelta(days=self.days)
        return [self.ca.certify(name, public_key=csr.public_key(), begins=begins, ends=ends).certificate]

    def cacerts(self) -> Issued:
        return Issued([self.ca.certificate])

    def simpleenroll(self, csr_der: bytes) -> Issued:
        self.asked.append("enrol")
        return Issued(self.answers(x509.load_der_x509_csr(csr_der)))

    def simplereenroll(self, csr_der: bytes) -> Issued:
        self.asked.append("renew")
        return Issued(self.answers(x509.load_der_x509_csr(csr_der)))


class World:
    def __init__(self, *, est: bool = True) -> None:
        self.ca = root()
        self.secrets = Secrets()
        self.est = Est(self.ca)
        self.time = NOW
        self.enrolment = Enrolment(CLOUD, self.secrets, self.est if est else None, now=self.now)
        lists = RevocationLists(lambda url, limit: self.ca.crl(), (CRL_URL,), (), 300)
        self.endpoint = Endpoint(lists, now=self.now)

    def now(self) -> datetime:
        return self.time

    def states(self) -> list[str]:
        with engine.session() as session:
            return sorted(one.state for one in certificates.list_all(session))


@pytest.fixture
def world(database: sa.Engine) -> World:
    return World()


def test_a_request_proves_its_key_and_names_this_cloud_only(world: World) -> None:
    row = world.enrolment.request()
    csr = x509.load_pem_x509_csr((row.csr_pem or "").encode())
    assert csr.is_signature_valid
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(CLOUD)]
    assert world.states() == ["pending"]
    (private_key,) = world.secrets.of_type("private")
    assert private_key.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert private_key.decode() not in str(vars(row))


def test_enrolling_by_est(world: World) -> None:
    row = world.enrolment.enrol()
    assert world.est.asked == ["enrol"]
    assert world.states() == ["active"]
    assert len(world.secrets.of_type("certificate")) == len(world.secrets.of_type("private")) == 1
    shown = world.endpoint.certificate({})
    assert shown["name"] == CLOUD
    assert shown["serial"] == row.serial
    assert world.endpoint.identity({}) == {
        "chain_b64": shown["chain_b64"],
        "private_key_ref": row.private_key_ref,
    }
    assert "not_after" in world.endpoint.validate({}, shown["chain_b64"], CLOUD, world.ca.pem)
    assert len(world.endpoint.revocation_lists({})["crls_b64"]) == 1


@pytest.mark.parametrize("how", ["another key", "another name", "nothing", "away", "another use"])
def test_an_answer_that_peers_would_refuse_replaces_nothing_and_leaves_nothing(
    world: World, how: str
) -> None:
    world.enrolment.enrol()
    before = dict(world.secrets.kept)

    def bad(csr: x509.CertificateSigningRequest) -> list[x509.Certificate]:
        if how == "away":
            raise errors.ServiceUnavailable("the EST server does not answer")
        if how == "another key":
            return [world.ca.certify(CLOUD).certificate]
        if how == "another name":
            return [world.ca.certify("cloud-x.sv2m", public_key=csr.public_key()).certificate]
        if how == "another use":
            use = {"digital_signature": True}
            return [world.ca.certify(CLOUD, public_key=csr.public_key(), use=use).certificate]
        return []

    world.est.answers = bad
    with pytest.raises(errors.SV2MError):
        world.enrolment.renew()
    assert world.secrets.kept == before
    assert world.states() == ["active", "retired"]


def test_without_est_a_request_and_an_import_do(database: sa.Engine) -> None:
    world = World(est=False)
    with pytest.raises(errors.ConfigurationError, match="est_url"):
        world.enrolment.enrol()
    world.enrolment.request()
    row = world.enrolment.request()
    csr = x509.load_pem_x509_csr((row.csr_pem or "").encode())
    between = world.ca.certify("between", ca=True)
    leaf = between.certify(CLOUD, public_key=csr.public_key())
    # The CA's mail has them in any order.
    active = world.enrolment.import_chain(world.ca.pem + between.pem + leaf.pem)
    assert active.id == row.id
    chain = [x509.load_der_x509_certificate(base64.b64decode(one)) for one in identity.chain_b64(active)]
    assert chain == [leaf.certificate, between.certificate]


def test_imports_that_are_refused(world: World) -> None:
    row = world.enrolment.request()
    key = x509.load_pem_x509_csr((row.csr_pem or "").encode()).public_key()
    for pem, why in (
        ("hello", "no certificate in PEM"),
        (world.ca.pem + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds a private key"),
        (world.ca.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "not labelled CERTIFICATE"),
        (world.ca.certify(CLOUD).pem, "pending request"),
        (world.ca.certify(CLOUD, public_key=key).pem, "without its CA's"),
    ):
        with pytest.raises(errors.LocalError, match=why):
            world.enrolment.import_chain(pem)
    with pytest.raises(errors.InvalidCertificate):
        world.enrolment.import_chain(root("x").pem + world.ca.certify(CLOUD, public_key=key).pem)
    assert world.states() == ["pending"]


def test_nothing_to_show_and_nothing_to_renew_before_enrolment(world: World) -> None:
    with pytest.raises(errors.ConfigurationError, match="no evidence certificate"):
        world.endpoint.certificate({})
    with pytest.raises(errors.ConfigurationError, match="no certificate to renew"):
        world.enrolment.renew()


def renewal(world: World) -> Renewal:
    retired = RetiredKeys(world.secrets, now=world.now)
    return Renewal(world.enrolment, retired, timedelta(days=30), 3600, now=world.now)


def test_renewal_waits_until_it_is_time(world: World) -> None:
    world.enrolment.enrol()
    world.time = NOW + timedelta(days=59)
    assert not renewal(world).look()
    world.time = world.est.now = NOW + timedelta(days=61)
    assert renewal(world).look()
    assert world.est.asked == ["enrol", "renew"]
    assert world.states() == ["active", "retired"]
    assert len(world.secrets.of_type("private")) == 1


def test_a_short_life_is_not_renewed_all_the_time(world: World) -> None:
    world.est.days = 3
    world.enrolment.enrol()
    world.time = NOW + timedelta(days=1)
    assert not renewal(world).look()
    world.time = world.est.now = NOW + timedelta(days=2.5)
    assert renewal(world).look()


def test_without_est_the_log_says_that_it_is_time(
    database: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.enrolment.enrol()
    world.time = NOW + timedelta(days=80)
    by_hand = Enrolment(CLOUD, world.secrets, None, now=world.now)
    retired = RetiredKeys(world.secrets, now=world.now)
    assert not Renewal(by_hand, retired, timedelta(days=30), 1, now=world.now).look()
    assert "sv2m-manage certificate request" in caplog.text


def test_a_migration_goes_on_with_the_certificate_it_began_with(world: World) -> None:
    first = world.enrolment.enrol()
    with engine.session() as session:
        values = {"role": "source", "peer": "b", "project_id": "p", "phase": "requested"}
        migrations.create(session, id="m1", now=NOW + timedelta(days=1), **values)
    world.time = world.est.now = NOW + timedelta(days=61)
    second = world.enrolment.renew()
    with engine.session() as session:
        migrations.create(session, id="m2", now=world.time + timedelta(hours=1), **values)
    assert world.endpoint.identity({"migration_id": "m1"})["private_key_ref"] == first.private_key_ref
    assert world.endpoint.certificate({"migration_id": "m2"})["serial"] == second.serial
    assert world.endpoint.certificate({"migration_id": "unknown"})["serial"] == second.serial
    # Its key stays as long as it runs.
    retired = RetiredKeys(world.secrets, now=world.now)
    assert retired.sweep() == []
    with engine.session() as session:
        migrations.advance(session, "m1", "requested", 0, "withdrawn", status="failed")
    world.secrets.away = True
    assert retired.sweep() == []
    world.secrets.away = False
    assert retired.sweep() == [first.id]
    assert retired.sweep() == []
    assert len(world.secrets.of_type("private")) == 1


def run(world: World, *argv: str) -> int:
    parser = argparse.ArgumentParser()
    commands.add_parsers(parser.add_subparsers(), lambda conf: world.enrolment)
    command = parser.parse_args(["certificate", *argv])
    return int(command.func(SimpleNamespace(command=command)))


def test_the_operators_commands(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(world, "show") == 1
    assert "No certificate" in capsys.readouterr().out
    out = tmp_path / "request.pem"
    assert run(world, "request", "--out", str(out)) == 0
    csr = x509.load_pem_x509_csr(out.read_bytes())
    assert run(world, "show") == 1
    assert "BEGIN CERTIFICATE REQUEST" in capsys.readouterr().out
    answered = tmp_path / "answer.pem"
    answered.write_text(world.ca.certify(CLOUD, public_key=csr.public_key()).pem + world.ca.pem)
    assert run(world, "import", str(answered)) == 0
    assert "is in use until 2026-08-30 12:00 UTC" in capsys.readouterr().out
    assert run(world, "enrol", "--if-missing") == 0
    assert world.est.asked == []
    assert run(world, "renew") == 0
    assert run(world, "show", "--pem") == 0
    assert capsys.readouterr().out.count("BEGIN CERTIFICATE") == 1
    with pytest.raises(errors.LocalError, match="cannot be read"):
        run(world, "import", str(tmp_path / "missing"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"nothing")))
    with pytest.raises(errors.LocalError, match="no certificate in PEM"):
        run(world, "import", "-")


def test_a_chain_that_is_not_base64_is_the_peers_fault(world: World) -> None:
    with pytest.raises(errors.InvalidCertificate):
        world.endpoint.validate({}, ["a"], CLOUD, world.ca.pem)


def test_requests_tell_their_keys_apart() -> None:
    _, one = request.make(CLOUD)
    key, other = request.make(CLOUD)
    assert isinstance(key, bytearray)
    certified = root().certify(CLOUD, public_key=one.public_key()).certificate
    assert request.same_key(one, certified)
    assert not request.same_key(other, certified)
