# SPDX-License-Identifier: Apache-2.0
"""The evidence is checked as its own text says, by xmlsec1 and openssl alone."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import uuid
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sv2m import protocol
from sv2m.db import engine, messages, migrations
from tests.unit.api.conftest import API

NOW = datetime.now(UTC)
NEEDED = pytest.mark.skipif(
    not (shutil.which("xmlsec1") and shutil.which("openssl")), reason="xmlsec1 and openssl are needed"
)


@dataclass(frozen=True)
class Cloud:
    name: str
    key: bytes
    certificate: x509.Certificate
    issuer: x509.Certificate

    @property
    def chain(self) -> tuple[bytes, ...]:
        return tuple(one.public_bytes(Encoding.DER) for one in (self.certificate, self.issuer))


class Authority:
    """A CA with an intermediate, which revokes."""

    def __init__(self) -> None:
        self.root_key, self.key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
        self.root = self.certify("Root", self.root_key, self.root_key, "Root", ca=True)
        self.issuer = self.certify("Issuer", self.key, self.root_key, "Root", ca=True)

    def certify(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer_key: ec.EllipticCurvePrivateKey,
        issuer: str,
        *,
        ca: bool = False,
    ) -> x509.Certificate:
        usage = dict.fromkeys(
            (
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not ca,
                    content_commitment=not ca,
                    key_cert_sign=ca,
                    crl_sign=ca,
                    **usage,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.lower())]), critical=False)
            .sign(issuer_key, hashes.SHA384())
        )

    def enrol(self, name: str) -> Cloud:
        key = ec.generate_private_key(ec.SECP384R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Cloud(name, pem, self.certify(name, key, self.key, "Issuer"), self.issuer)

    def crl(self, *revoked: x509.Certificate) -> bytes:
        """The lists of both CAs, one after the other, as they are kept."""
        return self._list(self.root, self.root_key) + self._list(self.issuer, self.key, *revoked)

    def _list(self, issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey, *revoked: x509.Certificate) -> bytes:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(NOW - timedelta(hours=1))
            .next_update(NOW + timedelta(days=1))
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(NOW - timedelta(hours=1)).build())
        return builder.sign(key, hashes.SHA384()).public_bytes(Encoding.DER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory of its own: the text says that nothing else is in it."""
    made = tmp_path / "saved"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def store(authority: Authority, *revoked: str) -> str:
    """A migration of cloud-a to cloud-b that B refused after the exchange, with all that was kept of it."""
    source, destination = authority.enrol("cloud-a.sv2m"), authority.enrol("cloud-b.sv2m")
    migration_id = str(uuid.uuid4())
    ba1 = protocol.TokenBA1(migration_id, protocol.Party(destination.name, destination.chain), os.urandom(32))
    sid = os.urandom(48)
    receipt = protocol.Receipt(
        migration_id, sid, "resumed", "none", os.urandom(48), os.urandom(48), os.urandom(48), NOW
    )
    closure = protocol.Closure(migration_id, sid, "removed", _digest(receipt, destination), NOW)
    offer = protocol.Offer(
        migration_id,
        1,
        protocol.Party(source.name, source.chain),
        destination.name,
        "paused",
        NOW + timedelta(hours=1),
        protocol.Needs.from_dict(NEEDS),
    )
    ab = protocol.TokenAB(
        migration_id,
        os.urandom(32),
        ba1.nonce_b,
        source.name,
        destination.name,
        protocol.certificate_digest(source.chain[0]),
        protocol.certificate_digest(destination.chain[0]),
        _digest(offer, source),
    )
    refused = [c.certificate for c in (source, destination) if c.name in revoked]
    with engine.session() as session:
        migrations.create(
            session,
            id=migration_id,
            role="source",
            peer=destination.name,
            project_id="p1",
            phase="closed",
            status="completed",
        )
        for message, signer in (
            (offer, source),
            (ba1, destination),
            (ab, source),
            (receipt, destination),
            (closure, source),
        ):
            document = _signed(message, signer)
            kind = type(message).__name__
            messages.record(session, migration_id, kind, messages.SENT, document, b"")
        root = authority.root.public_bytes(Encoding.PEM)
        messages.record(session, migration_id, "ca", messages.RECEIVED, root, b"")
        messages.record(session, migration_id, "crl", messages.RECEIVED, authority.crl(*refused), b"")
    return migration_id


def _signed(message: protocol.Message, by: Cloud) -> bytes:
    """The same bytes each time: ECDSA as RFC 6979 wants it."""
    return protocol.sign(protocol.encode(message), by.key, by.chain)


def _digest(message: protocol.Message, by: Cloud) -> bytes:
    return hashlib.sha384(_signed(message, by)).digest()


NEEDS = {
    "name": "web",
    "vm": "11111111-1111-4111-8111-111111111111",
    "vcpus": 1,
    "memory_mb": 128,
    "architecture": "x86_64",
    "machine": "pc-q35-7.2",
    "firmware": "bios",
    "cpu": {"mode": "none", "model": ""},
    "virt_type": "qemu",
    "sysinfo": {"manufacturer": "", "product": "", "version": ""},
    "root_gb": 1,
    "ephemeral_gb": 0,
    "swap_mb": 0,
    "disks": [
        {
            "index": 0,
            "target": "vda",
            "bus": "virtio",
            "size": 1 << 30,
            "logical_block_size": 512,
            "physical_block_size": 512,
            "volume_gb": 1,
            "encrypted": True,
            "cipher": "aes-xts-plain64",
            "key_size": 256,
            "boot": True,
        }
    ],
    "nics": [],
    "devices": [],
    "addresses": [],
}


def unpack(api: API, migration_id: str, where: Path) -> None:
    response = api("GET", f"/v1/migrations/{migration_id}/evidence")
    assert (response.status_int, response.content_type) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(response.body)) as archive:
        archive.extractall(where)


def commands(where: Path) -> list[str]:
    """The commands of the text: what is indented by four, with continued lines put together."""
    text = (where / "README.txt").read_text()
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [line.strip() for line in lines if line.startswith("    ")]


def run(command: str, where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", command], cwd=where, capture_output=True, text=True, check=False)


@NEEDED
def test_the_text_checks_what_it_says(api: API, authority: Authority, folder: Path) -> None:
    unpack(api, store(authority), folder)
    asked = commands(folder)
    assert sum(command.startswith("xmlsec1") for command in asked) == 5
    assert sum("openssl verify" in command for command in asked) == 2
    for command in asked:
        result = run(command, folder)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        if command.startswith("xmlsec1"):
            assert "OK" in result.stderr + result.stdout
    names = "".join(run(command, folder).stdout for command in asked if "subjectAltName" in command)
    assert "cloud-a.sv2m" in names
    assert "cloud-b.sv2m" in names


@NEEDED
def test_the_messages_carry_the_digests_of_the_files(api: API, authority: Authority, folder: Path) -> None:
    unpack(api, store(authority), folder)
    printed = "".join(run(command, folder).stdout for command in commands(folder) if command.startswith("of="))
    assert printed.splitlines() == [
        "OK: every file is one message of this migration, and nothing else",
        "OK: NonceB is right",
        "OK: OfferDigest is right",
        "OK: ReceiptDigest is right",
    ]


@NEEDED
@pytest.mark.parametrize("name", ["01-Offer", "02-TokenBA1", "10-Receipt", "11-Closure"])
def test_a_changed_message_is_found(api: API, authority: Authority, folder: Path, name: str) -> None:
    unpack(api, store(authority), folder)
    path = folder / "messages" / f"{name}.xml"
    path.write_bytes(
        path.read_bytes()
        .replace(b"cloud-b", b"cloud-c")
        .replace(b"removed", b"Removed", 1)
        .replace(b"resumed", b"refused")
    )
    (command,) = (one for one in commands(folder) if name in one and one.startswith("xmlsec1"))
    assert run(command, folder).returncode != 0


@NEEDED
def test_a_message_signed_by_the_other_cloud_is_found(api: API, authority: Authority, folder: Path) -> None:
    unpack(api, store(authority), folder)
    shutil.copy(folder / "messages/11-Closure.xml", folder / "messages/10-Receipt.xml")
    (command,) = (one for one in commands(folder) if "10-Receipt" in one and one.startswith("xmlsec1"))
    assert run(command, folder).returncode != 0


@NEEDED
def test_a_revoked_certificate_is_found(api: API, authority: Authority, folder: Path) -> None:
    unpack(api, store(authority, "cloud-b.sv2m"), folder)
    results = {
        command.split("certificates/")[-1].split()[0]: run(command, folder)
        for command in commands(folder)
        if "openssl verify" in command
    }
    assert results["source.pem"].returncode == 0
    assert results["destination.pem"].returncode != 0
    assert "revoked" in results["destination.pem"].stderr


def test_the_same_evidence_is_the_same_bytes(api: API, authority: Authority) -> None:
    path = f"/v1/migrations/{store(authority)}/evidence"
    assert api("GET", path).body == api("GET", path).body
