# SPDX-License-Identifier: Apache-2.0
"""The published vectors: another implementation that agrees with them speaks SV2M."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sv2m import protocol as p
from sv2m.protocol import encryption, segments, session, trailer
from tests.vectors import generate

VECTORS = generate.HERE
VALUES = json.loads((VECTORS / "values.json").read_text())
SENT_BY_A = ("Offer", "TokenAB", "Envelope", "Transfer", "Release", "Closure")


def document(kind: str) -> bytes:
    return (VECTORS / f"{kind.lower()}.xml").read_bytes()


@pytest.mark.parametrize("kind", list(p.KINDS))
def test_a_message(kind: str) -> None:
    signer = generate.load_identity(VECTORS, "cloud-a" if kind in SENT_BY_A else "cloud-b")
    verified = p.verify(document(kind), kind, signer.leaf)
    assert verified.digest.hex() == VALUES["digests"][kind]
    message = p.decode(verified.message_document)
    assert p.encode(message) == verified.message_document
    assert p.sign(verified.message_document, signer.key, signer.chain) == document(kind)
    assert message.migration_id == VALUES["migration_id"]


def test_the_session() -> None:
    assert p.session_id([document(kind) for kind in session.OPENING]).hex() == VALUES["sid"]
    envelope = p.decode(document("Envelope"))
    assert envelope.sid.hex() == VALUES["sid"]


def test_the_keys() -> None:
    envelope = p.decode(document("Envelope"))
    private = (VECTORS / "ekb.key").read_bytes()
    for key, file in zip(envelope.keys, ("vmk.bin", "eik-0.bin"), strict=True):
        opened = encryption.unwrap_key(key.cipher_value, private, bytes.fromhex(VALUES["context_digest"]))
        assert opened == (VECTORS / file).read_bytes()
        assert key.commitment.hex() == VALUES["commitments"][key.name]
        encryption.check_commitment(key.name, VALUES["migration_id"], opened, key.commitment)


@pytest.mark.parametrize("name", sorted(VALUES["ivs"]))
def test_a_segment(name: str) -> None:
    stream, index = map(int, name.split("/"))
    segment = (VECTORS / f"{name}.seg").read_bytes()
    out = bytearray(len(segment))
    length, digest = p.Opener((VECTORS / "vmk.bin").read_bytes()).open(stream, index, segment, out)
    assert bytes(out[:length]) == (VECTORS / name).read_bytes()
    assert digest.hex() == VALUES["manifest"][name]
    assert segment[:12].hex() == VALUES["ivs"][name]


def test_the_trailer() -> None:
    vmk = (VECTORS / "vmk.bin").read_bytes()
    signature = segments.open_signature(vmk, p.decode(document("Transfer")).sealed_signature)
    assert signature == (VECTORS / "signature.xml").read_bytes()
    context, manifest = p.verify_manifest(signature, generate.load_identity(VECTORS, "cloud-a").leaf)
    binding = trailer.read_trailer_context(context)
    assert binding.keys_digest.hex() == VALUES["keys_digest"]
    assert binding.envelope_digest.hex() == VALUES["digests"]["Envelope"]
    assert {f"{s}/{i}": digest.hex() for s, i, digest in p.Manifest.from_xml(manifest)} == VALUES["manifest"]


def test_the_tickets() -> None:
    vmk = (VECTORS / "vmk.bin").read_bytes()
    sid = bytes.fromhex(VALUES["sid"])
    for number, expected in enumerate(VALUES["tickets"]):
        assert p.ticket(vmk, sid, VALUES["migration_id"], number).hex() == expected


def test_the_machines_go_the_same_way_again(tmp_path: Path) -> None:
    """Generated anew from the same keys, every file is the same, byte for byte."""
    keys = ("*.pem", "*.key", "*.bin")
    for pattern in keys:
        for file in VECTORS.glob(pattern):
            shutil.copy(file, tmp_path)
    generate.write(tmp_path)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    there = {
        path.relative_to(VECTORS): path.read_bytes()
        for path in VECTORS.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert made == there
