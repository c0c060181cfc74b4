# SPDX-License-Identifier: Apache-2.0
"""Revocation lists in a folder that bear a CA's name, and that are not by the key that has issued the certificates.

A cloud keeps the lists of all CAs of its agreements: of one that has a new key under its old name, of two that are
called the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lab import pki
from sv2m.evidence.folder import Folder
from sv2m.evidence.report import NOTE
from sv2m.evidence.verifier import verify_all
from tests.unit.evidence.court import Court, Judgement, relogged
from tests.unit.evidence.test_judge import replaced

A, B = "cloud-a.sv2m", "cloud-b.sv2m"
CRL = "certificates/crl.pem"


@pytest.fixture(scope="module")
def namesake() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Another CA with the very same name."""
    return pki.authority("SV2M lab trusted third party")


@pytest.fixture(scope="module")
def honest(court: Court) -> Folder:
    return court.keeps(court.pair().run().a)


def also(folder: Folder, key: ec.EllipticCurvePrivateKey, named: int | None = None) -> Folder:
    """The folder with one more list of that name.

    :param named: a serial number that it says is revoked, since before the migration.
    """
    now = datetime.now(UTC)
    name = x509.load_pem_x509_crl(folder.files[CRL]).issuer
    builder = x509.CertificateRevocationListBuilder().issuer_name(name)
    builder = builder.last_update(now - timedelta(minutes=5)).next_update(now + timedelta(days=1))
    if named is not None:
        entry = x509.RevokedCertificateBuilder().serial_number(named).revocation_date(now - timedelta(hours=1))
        builder = builder.add_revoked_certificate(entry.build())
    made = builder.sign(key, hashes.SHA384()).public_bytes(Encoding.PEM)
    return relogged(replaced(folder, {CRL: folder.files[CRL] + made}))


def notes(judged: Judgement) -> list[str]:
    return [one.text for case in judged.cases for one in case.report.findings if one.result == NOTE]


def test_a_list_of_another_key_of_that_name_is_passed_over(court: Court, honest: Folder, namesake: tuple) -> None:
    key, root = namesake
    judged = Judgement(verify_all([also(honest, key)], [*court.roots, root]))
    assert judged.off == []
    assert judged.proves(B, "runs")
    assert any("another key" in text for text in notes(judged))


def test_such_a_list_revokes_nothing_of_the_others(court: Court, honest: Folder, namesake: tuple) -> None:
    key, root = namesake
    serial = x509.load_pem_x509_certificate(honest.files["certificates/destination.pem"]).serial_number
    judged = Judgement(verify_all([also(honest, key, serial)], [*court.roots, root]))
    assert judged.off == []
    assert judged.proves(B, "runs")


def test_such_a_list_hides_no_revocation(court: Court, namesake: tuple) -> None:
    key, root = namesake
    victim = court.enrol("cloud-w.sv2m")
    court.authority.revoke(court.authority.issued()[-1].serial_number)
    lie = court.keeps(court.pair(b=victim).run().a)
    judged = Judgement(verify_all([also(lie, key)], [*court.roots, root]))
    assert any("revoked" in off for off in judged.off)
    assert judged.proved == []


def test_a_list_that_nobody_of_that_name_has_signed_was_changed(court: Court, honest: Folder, namesake: tuple) -> None:
    """It may have told of a theft: that the judge knows other CAs, of this name or another, does not help it."""
    _, root = namesake
    stranger, _ = pki.authority("somebody else")
    judged = Judgement(verify_all([also(honest, stranger)], [*court.roots, root]))
    assert any("was changed" in off for off in judged.off)
    assert judged.proved == []


def test_the_certificate_that_a_cloud_brings_along_may_have_signed_it(court: Court, honest: Folder) -> None:
    """A CA of that name which only a chain shows: what it signed was not changed by anybody."""
    key, certificate = pki.authority("SV2M lab trusted third party")
    brings = court.enrol("cloud-x.sv2m")
    chain = (*brings.chain, certificate.public_bytes(Encoding.DER))
    folder = court.keeps(court.pair(b=type(brings)(brings.name, brings.key, chain)).run().a)
    judged = court.hears(also(folder, key))
    assert judged.off == []
    assert judged.proves("cloud-x.sv2m", "runs")


@pytest.mark.parametrize("words", [b"words\n", b"-----BEGIN TRUSTED CERTIFICATE-----\n"])
def test_nothing_stands_beside_the_lists(court: Court, honest: Folder, words: bytes) -> None:
    """What the reader of the file sees there, nobody has signed."""
    judged = court.hears(relogged(replaced(honest, {CRL: words + honest.files[CRL]})))
    assert any(off.startswith(f"{CRL}: ") for off in judged.off)
