# SPDX-License-Identifier: Apache-2.0
"""The same documents in other hands: xmlsec1 (its command line, Debian's 1.2) and python-xmlsec (1.3), on the
vectors.

``xmlsec1 --verify`` prints OK even where a digest in a ds:Manifest is wrong; what counts is its line
"Manifests References (ok/all): n/n", and these tests read that.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import xmlsec
from lxml import etree

from sv2m import protocol as p
from sv2m.protocol import signing_key
from tests.protocol import certificates
from tests.protocol.clouds import EIK, MIGRATION, PLAINTEXT, VMK, offer
from tests.vectors import generate

DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
SENT_BY_A = ("Offer", "TokenAB", "Envelope", "Transfer", "Release", "Closure")
NAMES = [f"{stream}/{index}" for stream, parts in PLAINTEXT.items() for index in range(len(parts))]


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vectors as files in a directory of their own, which is where xmlsec1 looks for references."""
    shutil.copytree(
        generate.HERE, tmp_path / "evidence", ignore=shutil.ignore_patterns("*.py", "__pycache__")
    )
    monkeypatch.chdir(tmp_path / "evidence")
    return tmp_path / "evidence"


def xmlsec1(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["xmlsec1", *arguments], capture_output=True, text=True, timeout=120, check=False)


def counted(result: subprocess.CompletedProcess[str], what: str) -> tuple[int, int]:
    found = re.search(rf"{what} References \(ok/all\): (\d+)/(\d+)", result.stdout + result.stderr)
    assert found, result.stdout + result.stderr
    return int(found[1]), int(found[2])


VERIFY = ("--verify", "--trusted-pem", "ca.pem")
OBJECT_IDS = ("--id-attr:Id", f"{DS}:Object")
DATA_IDS = ("--id-attr:Id", f"{XENC}:EncryptedData")


# -- xmlsec1
# ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(p.KINDS))
def test_xmlsec1_verifies_every_message(evidence: Path, kind: str) -> None:
    result = xmlsec1(*VERIFY, f"{kind.lower()}.xml")
    assert result.returncode == 0 and counted(result, "SignedInfo") == (1, 1)


@pytest.mark.parametrize("kind", list(p.KINDS))
def test_xmlsec1_refuses_every_message_with_another_migration_id(evidence: Path, kind: str) -> None:
    file = evidence / f"{kind.lower()}.xml"
    file.write_bytes(file.read_bytes().replace(MIGRATION.encode(), MIGRATION.replace("6", "7").encode()))
    assert xmlsec1(*VERIFY, file.name).returncode != 0


def test_xmlsec1_verifies_the_trailer_and_every_plaintext_segment(evidence: Path) -> None:
    result = xmlsec1(*VERIFY, *OBJECT_IDS, "signature.xml")
    assert result.returncode == 0
    assert counted(result, "SignedInfo") == (2, 2)
    assert counted(result, "Manifests") == (len(NAMES), len(NAMES))


def test_xmlsec1_finds_a_changed_plaintext_segment(evidence: Path) -> None:
    (evidence / "2/1").write_bytes(b"Dirty")
    result = xmlsec1(*VERIFY, *OBJECT_IDS, "signature.xml")
    assert counted(result, "SignedInfo") == (2, 2)
    assert counted(result, "Manifests") == (len(NAMES) - 1, len(NAMES))


def test_xmlsec1_finds_a_changed_manifest(evidence: Path) -> None:
    file = evidence / "signature.xml"
    file.write_bytes(file.read_bytes().replace(b'URI="1/0"', b'URI="1/1"'))
    result = xmlsec1(*VERIFY, *OBJECT_IDS, "signature.xml")
    assert result.returncode != 0 and counted(result, "SignedInfo") == (1, 2)


@pytest.mark.parametrize("name", NAMES)
def test_xmlsec1_opens_every_segment_through_its_cipher_reference(evidence: Path, name: str) -> None:
    node = f"s{name.replace('/', '-')}"
    result = xmlsec1(
        "--decrypt",
        "--aeskey:VMK",
        "vmk.bin",
        *DATA_IDS,
        "--node-id",
        node,
        "--output",
        "opened",
        "transfer.xml",
    )
    assert result.returncode == 0, result.stderr
    stream, index = map(int, name.split("/"))
    assert (evidence / "opened").read_bytes() == PLAINTEXT[stream][index]


def test_xmlsec1_does_not_open_a_segment_that_was_changed(evidence: Path) -> None:
    segment = bytearray((evidence / "2/0.seg").read_bytes())
    segment[100] ^= 1
    (evidence / "2/0.seg").write_bytes(segment)
    result = xmlsec1(
        "--decrypt",
        "--aeskey:VMK",
        "vmk.bin",
        *DATA_IDS,
        "--node-id",
        "s2-0",
        "--output",
        "x",
        "transfer.xml",
    )
    assert result.returncode != 0


def test_xmlsec1_opens_the_sealed_signature_as_an_element(evidence: Path) -> None:
    result = xmlsec1(
        "--decrypt",
        "--aeskey:VMK",
        "vmk.bin",
        *DATA_IDS,
        "--node-id",
        "signature",
        "--output",
        "x",
        "transfer.xml",
    )
    assert result.returncode == 0, result.stderr
    (holder,) = etree.parse("x").getroot().iter("{urn:sv2m:1}Signature")
    opened = etree.tostring(holder[0], method="c14n", exclusive=True)
    assert opened == (evidence / "signature.xml").read_bytes()


def test_openssl_and_sha384sum_compute_the_session_id(evidence: Path) -> None:
    shell = "cat offer.xml tokenba1.xml tokenab.xml tokenba2.xml | sha384sum"
    output = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert output.split()[0] == p.decode((evidence / "envelope.xml").read_bytes()).sid.hex()


# -- python-xmlsec
# ------------------------------------------------------------------------------------------------


def key_of(certificate_file: str) -> xmlsec.Key:
    return xmlsec.Key.from_file(certificate_file, xmlsec.KeyFormat.CERT_PEM)


@pytest.mark.parametrize("kind", list(p.KINDS))
def test_python_xmlsec_verifies_every_message(evidence: Path, kind: str) -> None:
    root = etree.parse(f"{kind.lower()}.xml").getroot()
    context = xmlsec.SignatureContext()
    context.key = key_of("cloud-a.pem" if kind in SENT_BY_A else "cloud-b.pem")
    context.verify(xmlsec.tree.find_node(root, xmlsec.Node.SIGNATURE))


def test_python_xmlsec_verifies_rsa_pss(tmp_path: Path) -> None:
    identity = certificates.rsa_identity("cloud-r.sv2m")
    document = p.sign(p.encode(offer(identity, "cloud-b.sv2m")), identity.key, identity.chain)
    root = etree.fromstring(document)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(identity.leaf, xmlsec.KeyFormat.CERT_DER)
    context.verify(xmlsec.tree.find_node(root, xmlsec.Node.SIGNATURE))


def lower_s(value: str) -> str:
    raw = base64.b64decode(value)
    s = int.from_bytes(raw[48:])
    return base64.b64encode(raw[:48] + min(s, signing_key.P384_ORDER - s).to_bytes(48)).decode()


@pytest.mark.parametrize("make", [certificates.identity, certificates.rsa_identity], ids=["P-384", "RSA-PSS"])
def test_what_python_xmlsec_signs_we_accept(make) -> None:
    """Another implementation fills in a template; ours takes its document like one of our own.

    Beyond XML Signature it must do one thing only: take the lower of the two values of s (protocol.md).
    """
    identity = make("cloud-a.sv2m")
    ours = p.sign(p.encode(offer(identity, "cloud-b.sv2m")), identity.key, identity.chain)
    root = etree.fromstring(ours)
    signature = xmlsec.tree.find_node(root, xmlsec.Node.SIGNATURE)
    for emptied in ("DigestValue", "SignatureValue"):
        for element in signature.iter(f"{{{DS}}}{emptied}"):
            element.text = None
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(identity.key, xmlsec.KeyFormat.PEM)
    context.sign(signature)
    for element in signature.iter(f"{{{DS}}}DigestValue", f"{{{DS}}}SignatureValue"):
        element.text = "".join(element.text.split())
        if element.tag.endswith("SignatureValue") and make is certificates.identity:
            element.text = lower_s(element.text)
    theirs = etree.tostring(root, method="c14n", exclusive=True)
    assert theirs != ours
    assert p.decode(p.verify(theirs, "Offer", identity.leaf).message_document) == p.decode(ours)


@pytest.fixture
def recipient(evidence: Path) -> Iterator[xmlsec.KeysManager]:
    manager = xmlsec.KeysManager()
    manager.add_key(xmlsec.Key.from_file("ekb.key", xmlsec.KeyFormat.PEM))
    yield manager


@pytest.mark.parametrize(("name", "key"), [("VMK", VMK), ("EIK-0", EIK)])
def test_python_xmlsec_unwraps_every_key(
    evidence: Path, recipient: xmlsec.KeysManager, name: str, key: bytes
) -> None:
    """RSA-OAEP, SHA-256, MGF1-SHA-256, the context as label: read from the EncryptedKey as it stands."""
    envelope = etree.parse("envelope.xml").getroot()
    (wrapped,) = (e for e in envelope.iter(f"{{{XENC}}}EncryptedKey") if e.get("Id") == name)
    # Something sealed under that key, with the EncryptedKey in its KeyInfo, as XML Encryption has it for
    # readers.
    sealed = bytearray(5 + 28)
    p.Sealer(key).seal(1, 0, b"hello", sealed)
    data = etree.fromstring(_encrypted_data(bytes(sealed)))
    data.find(f"{{{DS}}}KeyInfo").append(wrapped)
    assert xmlsec.EncryptionContext(recipient).decrypt(data) == b"hello"


def test_python_xmlsec_does_not_unwrap_under_another_label(
    evidence: Path, recipient: xmlsec.KeysManager
) -> None:
    wrapped = next(etree.parse("envelope.xml").getroot().iter(f"{{{XENC}}}EncryptedKey"))
    wrapped.find(f".//{{{XENC}}}OAEPparams").text = "AAAA"
    sealed = bytearray(5 + 28)
    p.Sealer(VMK).seal(1, 0, b"hello", sealed)
    data = etree.fromstring(_encrypted_data(bytes(sealed)))
    data.find(f"{{{DS}}}KeyInfo").append(wrapped)
    with pytest.raises(xmlsec.Error):
        xmlsec.EncryptionContext(recipient).decrypt(data)


def _encrypted_data(sealed: bytes) -> bytes:
    return (
        f'<EncryptedData xmlns="{XENC}" xmlns:ds="{DS}">'
        '<EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/><ds:KeyInfo/>'
        f"<CipherData><CipherValue>{b64encode(sealed).decode()}</CipherValue></CipherData></EncryptedData>"
    ).encode()
