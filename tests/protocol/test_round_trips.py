# SPDX-License-Identifier: Apache-2.0
"""Every message comes back as it went; any other bytes are refused, and only as the peer's fault."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import trailer
from tests.protocol import certificates
from tests.protocol.clouds import MIGRATION, Pair, manifest
from tests.protocol.strategies import MESSAGES, SHA384

A = certificates.identity("cloud-a.sv2m")
relaxed = settings(max_examples=60)


@pytest.mark.parametrize("kind", list(p.KINDS))
def test_a_message_comes_back(kind: str) -> None:
    @relaxed
    @given(MESSAGES[kind])
    def check(message: p.Message) -> None:
        document = p.encode(message)
        assert p.decode(document) == message
        assert p.peek(document) == p.Peek(kind, message.migration_id)
        assert etree.tostring(etree.fromstring(document), method="c14n", exclusive=True) == document
        if isinstance(message, p.Offer):
            assert p.Needs.from_dict(message.needs.to_dict()) == message.needs

    check()


@settings(max_examples=20)
@given(st.one_of(list(MESSAGES.values())))
def test_a_signed_message_comes_back(message: p.Message) -> None:
    document = p.sign(p.encode(message), A.key, A.chain)
    verified = p.verify(document, type(message).__name__, A.leaf)
    assert p.decode(verified.message_document) == p.decode(document) == message


@pytest.fixture(scope="module")
def documents() -> dict[str, bytes]:
    pair = Pair().run()
    return {kind: received.document for kind, received in pair.a.transcript.items()}


READERS = [
    p.decode,
    p.peek,
    p.claimed_party,
    lambda data: p.verify(data, "Offer", A.leaf),
    lambda data: p.verify(data, "Transfer", A.leaf),
    lambda data: p.verify_manifest(data, A.leaf),
    lambda data: p.sign(data, A.key, A.chain),
    p.Manifest.from_xml,
    trailer.read_trailer_context,
]


def hostile(data: bytes) -> None:
    for read in READERS:
        with contextlib.suppress(errors.PeerError):
            read(data)


@relaxed
@given(st.binary(max_size=300))
@example(b"")
@example(b"\0")
@example(b"<")
@example(
    b'<sv2m:Offer xmlns:sv2m="urn:sv2m:1" MigrationId="6f1c1a9e-3c6e-4d52-9d5f-0a4a2e6f7b11" Version="1">'
)
@example(b'<ds:Manifest xmlns:ds="http://www.w3.org/2000/09/xmldsig#"></ds:Manifest>')
@example(b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"></ds:Signature>')
def test_any_bytes(data: bytes) -> None:
    hostile(data)


KIND = st.sampled_from(list(p.KINDS))


@relaxed
@given(KIND, st.text("<>/&;=\" abcsv2m:dOfr'\n\0#x0", max_size=200))
def test_anything_behind_a_good_beginning(kind: str, rest: str) -> None:
    head = f'<sv2m:{kind} xmlns:sv2m="urn:sv2m:1" MigrationId="{MIGRATION}" Version="1">'
    hostile((head + rest).encode())
    hostile((head + rest + f"</sv2m:{kind}>").encode())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(kind=KIND, place=st.floats(0, 1, exclude_max=True), cut=st.integers(0, 30), put=st.binary(max_size=30))
def test_a_good_document_with_a_piece_replaced(
    documents: dict[str, bytes], kind: str, place: float, cut: int, put: bytes
) -> None:
    document = documents[kind]
    start = int(place * len(document))
    changed = document[:start] + put + document[start + cut :]
    hostile(changed)
    if changed != document:
        with pytest.raises(errors.PeerError):
            p.verify(changed, kind, (A if p.KINDS[kind] in SENT_BY_A else B).leaf)


B = certificates.identity("cloud-b.sv2m")
SENT_BY_A = (p.Offer, p.TokenAB, p.Envelope, p.Transfer, p.Release, p.Closure)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), kind=KIND)
def test_a_good_document_with_its_elements_moved(
    documents: dict[str, bytes], data: st.DataObject, kind: str
) -> None:
    """Any element copied, moved or dropped anywhere; the result in canonical form."""
    root = etree.fromstring(documents[kind])
    elements = list(root.iter())
    moved = data.draw(st.sampled_from(elements[1:]))
    target = data.draw(
        st.sampled_from([e for e in elements if e is not moved and moved not in e.iterancestors()])
    )
    action = data.draw(st.sampled_from(["move", "drop", "retag", "text", "attribute"]))
    if action == "move":
        target.append(moved)
    elif action == "drop":
        moved.getparent().remove(moved)
    elif action == "retag":
        moved.tag = target.tag
    elif action == "text":
        moved.text = data.draw(st.sampled_from(["", "x", "0", "true", "AAAA", " "]))
    else:
        moved.set(data.draw(st.sampled_from(["Id", "Algorithm", "URI", "Type", "x"])), "x")
    hostile(etree.tostring(root, method="c14n", exclusive=True))


@settings(max_examples=100)
@given(place=st.floats(0, 1, exclude_max=True), cut=st.integers(0, 30), put=st.binary(max_size=30))
def test_a_good_manifest_with_a_piece_replaced(place: float, cut: int, put: bytes) -> None:
    written = manifest().to_xml()
    start = int(place * len(written))
    changed = written[:start] + put + written[start + cut :]
    hostile(changed)
    if changed != written:
        with pytest.raises(errors.PeerError):
            p.Manifest.from_xml(changed).compare(manifest())


@settings(max_examples=50)
@given(
    st.builds(
        p.Binding,
        migration_id=st.uuids().map(str),
        sid=SHA384,
        source=st.just("a.sv2m"),
        destination=st.just("b.sv2m"),
        generation=st.integers(1, 1 << 62),
        envelope_digest=SHA384,
        keys_digest=SHA384,
    )
)
def test_a_binding_comes_back(binding: p.Binding) -> None:
    assert trailer.read_trailer_context(p.trailer_context(binding)) == binding


def test_local_values_are_our_own_fault() -> None:
    """A value that we make up wrongly is a LocalError, never the peer's."""
    good = Pair().offer.needs.to_dict()
    for key, value in (
        ("vcpus", 0),
        ("vcpus", True),
        ("vcpus", "1"),
        ("name", ""),
        ("name", "a\nb"),
        ("name", "a\ufffe"),
        ("name", "\ud800"),
        ("vm", good["vm"].upper()),
        ("disks", []),
        ("disks", "vda"),
        ("disks", [{}]),
        ("disks", [good["disks"][0] | {"index": 1}]),
        ("disks", [good["disks"][0] | {"encrypted": False}]),
        ("nics", [good["nics"][0] | {"mac": "x"}]),
        ("devices", ["b", "a"]),
        ("addresses", ["b", "a"]),
        ("addresses", ["a", "a"]),
        ("addresses", ["a/b"]),
        ("addresses", ["a" * 65]),
        ("addresses", "a"),
        ("disks", [good["disks"][0] | {"logical_block_size": 256}]),
        ("disks", [good["disks"][0] | {"logical_block_size": 1536, "physical_block_size": 4096}]),
        ("disks", [good["disks"][0] | {"logical_block_size": 4096, "physical_block_size": 512}]),
        ("disks", [good["disks"][0] | {"physical_block_size": 4 << 20}]),
        ("disks", [good["disks"][0] | {"physical_block_size": True}]),
        ("cpu", {"mode": "none", "model": "x"}),
        ("cpu", None),
        ("extra", 1),
    ):
        with pytest.raises(errors.LocalError) as caught:
            p.Needs.from_dict(good | {key: value})
        assert re.fullmatch("[a-z-]+", caught.value.code)
