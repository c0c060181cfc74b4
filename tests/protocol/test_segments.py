# SPDX-License-Identifier: Apache-2.0
"""Segments, their manifest, frames, tickets: sealed once, opened only as what they are."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import encryption, frames, plan, segments, wire
from tests.protocol import certificates
from tests.protocol.clouds import MIGRATION, PLAINTEXT, VMK, Pair, manifest

OTHER_VMK = bytes(32)


def sealed(stream: int, index: int, content: bytes = b"content", vmk: bytes = VMK) -> bytes:
    out = bytearray(len(content) + 28)
    sealer = p.Sealer(vmk)
    for before in range(index):
        sealer.seal(stream, before, b"x", bytearray(29))
    length, digest = sealer.seal(stream, index, content, out)
    assert (length, digest) == (len(out), hashlib.sha256(content).digest())
    return bytes(out)


def test_a_segment_comes_back() -> None:
    out = bytearray(100)
    length, digest = p.Opener(VMK).open(1, 3, sealed(1, 3, b"guest memory"), out)
    assert bytes(out[:length]) == b"guest memory"
    assert digest == hashlib.sha256(b"guest memory").digest()


def test_a_segment_is_iv_ciphertext_tag() -> None:
    segment = sealed(7, 2, b"abc")
    assert segment[:12] == bytes.fromhex("000000070000000000000002")
    assert len(segment) == 12 + 3 + 16


#: Up to here segments of 64 MiB are as few as planned.
LARGEST = plan.PLANNED_SEGMENTS * plan.MAX_SEGMENT


@pytest.mark.parametrize("size", [0, 1, 4 << 20, 14 << 30, (15 << 30) + 1, 60 << 30, LARGEST])
def test_segment_size(size: int) -> None:
    chosen = p.segment_size(size)
    assert 4 << 20 <= chosen <= 64 << 20 and chosen & (chosen - 1) == 0
    assert -(-size // chosen) <= plan.PLANNED_SEGMENTS
    assert chosen == 4 << 20 or -(-size // (chosen // 2)) > plan.PLANNED_SEGMENTS


@pytest.mark.parametrize("size", [LARGEST + 1, 1 << 40, (1 << 40) + 1, 64 << 40, 32 * (64 << 40)])
def test_a_disk_may_be_as_large_as_the_descriptor_says(size: int) -> None:
    assert p.segment_size(size) == plan.MAX_SEGMENT


def test_what_surely_travels_has_to_fit_and_the_refusal_says_how_much_it_is() -> None:
    most = plan.FIRST_PASS_SEGMENTS * plan.MAX_SEGMENT
    plan.check_travels([most - (1 << 30), 1 << 30], plan.MAX_SEGMENT)
    with pytest.raises(errors.ServerNotMovable, match=r"411 GiB .* at most 410 GiB") as caught:
        plan.check_travels([most, 1 << 30], plan.MAX_SEGMENT)
    assert caught.value.code == "too-much-data"


def test_a_sealer_knows_how_many_segments_are_left() -> None:
    sealer = p.Sealer(VMK)
    sealer.seal(1, 0, b"x", bytearray(29))
    sealer.seal(2, 0, b"x", bytearray(29))
    sealer.seal(2, 0, b"x", bytearray(29))
    assert sealer.left == plan.MAX_SEGMENTS - 2


# -- what the network may do
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "index"), [(1, 1), (2, 0), (0, 0)], ids=["swapped", "another stream's", "the signature's"]
)
def test_a_segment_in_anothers_place(stream: int, index: int) -> None:
    with pytest.raises(errors.IntegrityError):
        p.Opener(VMK).open(1, 0, sealed(stream, index), bytearray(100))


def test_a_segment_with_the_iv_painted_over() -> None:
    moved = segments.iv(1, 0) + sealed(1, 1)[12:]
    with pytest.raises(errors.IntegrityError):
        p.Opener(VMK).open(1, 0, moved, bytearray(100))


def test_a_segment_of_another_migration() -> None:
    with pytest.raises(errors.IntegrityError):
        p.Opener(VMK).open(1, 0, sealed(1, 0, vmk=OTHER_VMK), bytearray(100))


@pytest.mark.parametrize("cut", range(1, 36))
def test_a_segment_cut_short(cut: int) -> None:
    segment = sealed(1, 0)
    with pytest.raises(errors.IntegrityError):
        p.Opener(VMK).open(1, 0, segment[:-cut], bytearray(100))


@given(st.integers(0, 34), st.integers(1, 255))
def test_a_segment_with_one_byte_changed(place: int, flip: int) -> None:
    segment = bytearray(sealed(1, 0))
    segment[place] ^= flip
    out = bytearray(b"\xaa" * 7)
    with pytest.raises(errors.IntegrityError):
        p.Opener(VMK).open(1, 0, segment, out)
    # Either untouched or wiped: never the stranger's bytes.
    assert bytes(out) in (b"\xaa" * 7, bytes(7))


def test_after_a_bad_tag_the_buffer_holds_nothing() -> None:
    segment = bytearray(sealed(1, 0, b"A" * 1000))
    segment[-1] ^= 1
    out = bytearray(b"\xaa" * 1000)
    with pytest.raises(errors.IntegrityError):
        p.Opener(VMK).open(1, 0, segment, out)
    assert bytes(out) == bytes(1000)


# -- what our own side must not do
# --------------------------------------------------------------------------------


def test_an_iv_never_seals_two_plaintexts() -> None:
    sealer, out = p.Sealer(VMK), bytearray(100)
    sealer.seal(1, 0, b"first", out)
    first = bytes(out[:33])
    with pytest.raises(errors.LocalError) as caught:
        sealer.seal(1, 0, b"other", out)
    assert caught.value.code == "iv-reuse"
    # Sent again it is the same ciphertext.
    sealer.seal(1, 1, b"second", bytearray(100))
    sealer.seal(1, 0, b"first", out)
    assert bytes(out[:33]) == first


def test_segments_are_sealed_in_order() -> None:
    sealer = p.Sealer(VMK)
    for index in (1, 5, -1, 1 << 64):
        with pytest.raises(errors.LocalError):
            sealer.seal(1, index, b"x", bytearray(29))
    sealer.seal(2, 0, b"x", bytearray(29))
    sealer.seal(1, 0, b"x", bytearray(29))


def test_threads_cannot_race_to_one_iv() -> None:
    sealer = p.Sealer(VMK)
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def seal(content: bytes) -> None:
        barrier.wait()
        try:
            sealer.seal(1, 0, content, bytearray(1 << 16))
            outcomes.append("sealed")
        except errors.LocalError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=seal, args=(bytes([n]) * 60000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["iv-reuse"] * 7 + ["sealed"]


def test_too_many_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_SEGMENTS", 3)
    sealer = p.Sealer(VMK)
    for index in range(3):
        sealer.seal(1, index, b"x", bytearray(29))
    with pytest.raises(errors.LocalError) as caught:
        sealer.seal(2, 0, b"x", bytearray(29))
    assert caught.value.code == "too-many-segments"


def test_buffers_must_have_room() -> None:
    with pytest.raises(errors.LocalError):
        p.Sealer(VMK).seal(1, 0, b"abc", bytearray(30))
    with pytest.raises(errors.LocalError):
        p.Sealer(VMK).seal(1, 0, b"", bytearray(30))
    with pytest.raises(errors.LocalError):
        p.Sealer(VMK).seal(1, 0, b"abc", memoryview(bytes(31)))
    with pytest.raises(errors.LocalError):
        p.Opener(VMK).open(1, 0, sealed(1, 0), bytearray(6))
    with pytest.raises(errors.LocalError):
        p.Sealer(VMK[:16])


def test_larger_buffers_are_not_written_beyond_the_segment() -> None:
    out = bytearray(b"\xaa" * 100)
    length, _ = p.Sealer(VMK).seal(1, 0, b"abc", memoryview(out))
    assert bytes(out[length:]) == b"\xaa" * (100 - length)


# -- the manifest
# -------------------------------------------------------------------------------------------------


def test_a_manifest_comes_back() -> None:
    written = manifest().to_xml()
    read = p.Manifest.from_xml(written)
    read.compare(manifest())
    assert read.to_xml() == written and len(read) == 5
    assert read.digest(2, 1) == hashlib.sha256(PLAINTEXT[2][1]).digest()
    with pytest.raises(errors.IntegrityError):
        read.digest(2, 3)


def test_streams_may_be_filled_side_by_side() -> None:
    result = p.Manifest()
    for stream, index in ((2, 0), (1, 0), (2, 1), (1, 1), (2, 2)):
        result.add(stream, index, hashlib.sha256(PLAINTEXT[stream][index]).digest())
    assert result.to_xml() == manifest().to_xml()
    with pytest.raises(errors.LocalError):
        result.add(1, 3, bytes(32))


def references() -> tuple[bytes, list[bytes], bytes]:
    written = manifest().to_xml()
    start = written.index(b"<ds:Reference")
    end = written.rindex(b"</ds:Manifest>")
    parts = [part + b"</ds:Reference>" for part in written[start:end].split(b"</ds:Reference>")[:-1]]
    return written[:start], parts, written[end:]


def wrong(parts: list[bytes]) -> list[bytes]:
    digest = b"<ds:DigestValue>"
    place = parts[1].index(digest) + len(digest)
    return [parts[0], parts[1][:place] + b"AAAA" + parts[1][place + 4 :], *parts[2:]]


@pytest.mark.parametrize(
    "change",
    [
        wrong,
        lambda parts: parts[:-1],
        lambda parts: parts[1:],
        lambda parts: [*parts, parts[-1].replace(b"2/2", b"2/3")],
        lambda parts: [*parts, parts[-1]],
        lambda parts: [parts[1], parts[0], *parts[2:]],
        lambda parts: [*parts[2:], *parts[:2]],
        lambda parts: [parts[0].replace(b"1/0", b"1/1"), parts[1].replace(b"1/1", b"1/0"), *parts[2:]],
        lambda parts: [part.replace(b'"2/', b'"3/') for part in parts],
        lambda parts: [parts[0].replace(b"xmlenc#sha256", b"xmldsig#sha1"), *parts[1:]],
        lambda parts: [parts[0].replace(b'URI="1/0"', b'URI="file:///etc/shadow"'), *parts[1:]],
        lambda parts: [parts[0].replace(b'URI="1/0"', b'Id="x" URI="1/0"'), *parts[1:]],
        lambda parts: [b" ", *parts],
        lambda parts: [],
    ],
    ids=[
        "wrong",
        "last missing",
        "first missing",
        "extra",
        "twice",
        "reordered",
        "streams reordered",
        "renumbered",
        "another stream",
        "other digest",
        "external",
        "with Id",
        "white space",
        "empty",
    ],
)
def test_a_trailer_with_another_manifest(change) -> None:
    """Signed by A itself, so that only the manifest's own checks stand in the way."""
    pair = Pair().run("hear transfer")
    head, parts, tail = references()
    changed = head + b"".join(change(parts)) + tail
    context = p.trailer_context(pair.a.machine.binding())
    named = segments.open_signature(VMK, pair.b.machine.message(p.Transfer).sealed_signature)
    if change is wrong:
        # The right segments with one digest that is not: what was received must be compared with it.
        signed = pair.b.machine.check_trailer(named, context, changed)
        with pytest.raises(errors.IntegrityError, match="1/1"):
            signed.compare(manifest())
        return
    with pytest.raises(errors.PeerError):
        pair.b.machine.check_trailer(named, context, changed)
    with pytest.raises(errors.IllegalTransition):
        pair.b.local(p.Restored())


def test_a_signed_trailer_verifies_and_any_change_is_found() -> None:
    pair = Pair().run("seal")
    identity = pair.a.identity
    context, xml = p.trailer_context(pair.a.machine.binding()), manifest().to_xml()
    signature = p.sign_manifest(context, xml, identity.key, identity.chain)
    assert signature == p.sign_manifest(context, xml, identity.key, identity.chain)
    assert p.verify_manifest(signature, identity.leaf) == (context, xml)
    for old, new in (
        (b'URI="1/0"', b'URI="1/9"'),
        (b"cloud-b.sv2m", b"cloud-c.sv2m"),
        (b"<sv2m:Generation>1<", b"<sv2m:Generation>2<"),
        (b'Id="context"', b'Id="manifest"'),
        (b'Id="manifest"', b'Id="context"'),
        (b'URI="#context"', b'URI="#manifest"'),
        (b'URI="#manifest"', b'URI=""'),
        (b"xml-exc-c14n#", b"xml-exc-c14n#WithComments"),
        (b"ecdsa-sha384", b"hmac-sha384"),
        (b"</ds:Object><ds:Object", b"</ds:Object>x<ds:Object"),
    ):
        assert old in signature
        with pytest.raises(errors.PeerError):
            p.verify_manifest(signature.replace(old, new), identity.leaf)
    with pytest.raises(errors.InvalidSignature):
        p.verify_manifest(signature, certificates.identity("cloud-c.sv2m").leaf)


@pytest.mark.parametrize(
    "change",
    [
        lambda s, leaf: s.replace(b64encode(leaf), b64encode(certificates.identity("cloud-c.sv2m").leaf)),
        lambda s, leaf: s.replace(b"<ds:KeyInfo>", b"<ds:KeyInfo><ds:KeyName>VMK</ds:KeyName>"),
        lambda s, leaf: s.replace(b"<ds:KeyInfo>", b'<ds:KeyInfo Id="x">'),
    ],
    ids=["another certificate", "a key name", "an Id"],
)
def test_a_trailer_whose_unsigned_part_was_changed(change) -> None:
    """KeyInfo is not signed, so only the comparison with our own form can find this."""
    pair = Pair().run("seal")
    identity = pair.a.identity
    context, xml = p.trailer_context(pair.a.machine.binding()), manifest().to_xml()
    signature = p.sign_manifest(context, xml, identity.key, identity.chain)
    changed = change(signature, identity.leaf)
    assert changed != signature
    with pytest.raises(errors.InvalidSignature):
        p.verify_manifest(changed, identity.leaf)


def test_a_trailer_with_a_third_object_or_a_wrapped_one() -> None:
    pair = Pair().run("seal")
    identity = pair.a.identity
    context, xml = p.trailer_context(pair.a.machine.binding()), manifest().to_xml()
    signature = p.sign_manifest(context, xml, identity.key, identity.chain)
    start = signature.index(b'<ds:Object Id="manifest">')
    held = signature[start : -len(b"</ds:Signature>")]
    evil = held.replace(b'URI="1/0"', b'URI="1/7"')
    for changed in (
        signature[:start] + evil + held + b"</ds:Signature>",
        signature[:start] + held + evil + b"</ds:Signature>",
        signature[:start] + evil[: -len(b"</ds:Object>")] + held + b"</ds:Object></ds:Signature>",
        signature[:start] + evil.replace(b' Id="manifest"', b"") + held + b"</ds:Signature>",
    ):
        with pytest.raises(errors.InvalidSignature):
            p.verify_manifest(changed, identity.leaf)


def test_a_message_is_no_trailer_and_a_trailer_no_message() -> None:
    pair = Pair().run("seal")
    with pytest.raises(errors.PeerError):
        p.verify_manifest(pair.a.document("Offer"), pair.a.identity.leaf)
    signature = p.sign_manifest(
        p.trailer_context(pair.a.machine.binding()),
        manifest().to_xml(),
        pair.a.identity.key,
        pair.a.identity.chain,
    )
    with pytest.raises(errors.PeerError):
        p.verify(signature, "Transfer", pair.a.identity.leaf)


def test_as_many_segments_as_there_may_be() -> None:
    many = p.Manifest()
    digest = hashlib.sha256(b"").digest()
    for index in range(plan.MAX_SEGMENTS):
        many.add(255, index, digest)
    with pytest.raises(errors.LocalError):
        many.add(254, 0, digest)
    written = many.to_xml()
    assert len(p.Manifest.from_xml(written)) == plan.MAX_SEGMENTS
    a = certificates.identity("cloud-a.sv2m")
    context = p.trailer_context(Pair().run("wrap").a.machine.binding())
    signature = p.sign_manifest(context, written, a.key, a.chain)
    assert p.verify_manifest(signature, a.leaf) == (context, written)
    sealed = segments.seal_signature(VMK, signature)
    assert segments.open_signature(VMK, sealed) == signature
    streams = (p.StreamSummary(255, plan.MAX_SEGMENTS, plan.MAX_SEGMENTS * plan.MAX_SEGMENT),)
    transfer = p.encode(p.Transfer(MIGRATION, bytes(48), streams, p.trailer_digest(signature), sealed))
    signed = p.sign(transfer, a.key, a.chain)
    assert p.peek(signed).kind == "Transfer"
    # The largest messages that SV2M's own programs send each other: manifest, trailer, Transfer, in base64.
    for large in (written, signature, sealed, signed):
        assert _as_rpc_message(large) < 8 << 20
    assert _as_rpc_message(bytes(wire.MAX_TRANSFER)) < 8 << 20


def _as_rpc_message(document: bytes) -> int:
    """Bytes of a call with this document, with a request's context of 16 KiB, as oslo.messaging writes it."""
    text = base64.b64encode(document).decode("ascii")
    call = {"method": "verify", "args": {"document_b64": text, "kind": "Transfer"}, "_context": "x" * (16 << 10)}
    return len(json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(call)}))


def test_the_sealed_signature_is_bound_to_its_place() -> None:
    sealed_signature = segments.seal_signature(VMK, b"<ds:Signature/>")
    assert segments.open_signature(VMK, sealed_signature) == b"<ds:Signature/>"
    with pytest.raises(errors.IntegrityError):
        p.Opener(VMK).open(1, 0, sealed_signature, bytearray(100))
    for bad in (b"", b"x" * 28, sealed_signature[:-1], os.urandom(64)):
        with pytest.raises(errors.IntegrityError):
            segments.open_signature(VMK, bad)


# -- frames and tickets
# -------------------------------------------------------------------------------------------


def test_a_frame_comes_back() -> None:
    assert frames.unpack_frame(frames.pack_frame(2, 77, 4096)) == frames.Frame(2, 77, 4096)


@pytest.mark.parametrize(
    "frame",
    [(0, 0, 100), (256, 0, 100), (1, plan.MAX_SEGMENTS, 100), (1, 0, 28), (1, 0, 0), (1, 0, (4 << 20) + 29)],
)
def test_a_frame_that_no_plan_has(frame: tuple[int, int, int]) -> None:
    with pytest.raises(errors.MalformedMessage):
        frames.unpack_frame(frames.pack_frame(*frame), 4 << 20)


@given(st.binary(max_size=20))
def test_any_bytes_as_a_frame(header: bytes) -> None:
    try:
        frames.unpack_frame(header)
    except errors.MalformedMessage:
        return
    assert len(header) == 16


def test_tickets_differ_in_everything_they_are_bound_to() -> None:
    tickets = {
        p.ticket(VMK, bytes(48), MIGRATION, 0),
        p.ticket(OTHER_VMK, bytes(48), MIGRATION, 0),
        p.ticket(VMK, b"\1" * 48, MIGRATION, 0),
        p.ticket(VMK, bytes(48), MIGRATION.replace("6", "7"), 0),
        p.ticket(VMK, bytes(48), MIGRATION, 1),
    }
    assert len(tickets) == 5 and {len(each) for each in tickets} == {32}


# -- keys
# ---------------------------------------------------------------------------------------------------------


def test_a_key_opens_only_in_its_session() -> None:
    public, private = encryption.new_ephemeral_key()
    context = hashlib.sha256(b"context").digest()
    wrapped = encryption.wrap_key(VMK, "VMK", public, context)
    assert encryption.unwrap_key(wrapped, private, context) == VMK
    assert wrapped != encryption.wrap_key(VMK, "VMK", public, context)
    for value, label in ((wrapped, bytes(32)), (wrapped[:-1] + b"\0", context), (b"", context)):
        with pytest.raises(errors.IntegrityError):
            encryption.unwrap_key(value, private, label)
    with pytest.raises(errors.IntegrityError):
        encryption.unwrap_key(wrapped, encryption.new_ephemeral_key()[1], context)


def test_pkcs1_v15_and_sha1_oaep_do_not_open() -> None:
    public, private = encryption.new_ephemeral_key()
    context = bytes(32)
    key = load_der_public_key(public)
    sha1 = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=context)
    no_label = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    for other in (padding.PKCS1v15(), sha1, no_label):
        with pytest.raises(errors.IntegrityError):
            encryption.unwrap_key(key.encrypt(VMK, other), private, context)


def test_a_commitment_is_to_one_key_one_name_one_migration() -> None:
    value = encryption.commitment("VMK", MIGRATION, VMK)
    assert value == hashlib.sha256(b"sv2m-vmk" + MIGRATION.encode() + VMK).digest()
    encryption.check_commitment("VMK", MIGRATION, VMK, value)
    for name, migration_id, key in (
        ("EIK-0", MIGRATION, VMK),
        ("VMK", MIGRATION.replace("6", "7"), VMK),
        ("VMK", MIGRATION, OTHER_VMK),
    ):
        with pytest.raises(errors.IntegrityError):
            encryption.check_commitment(name, migration_id, key, value)


def test_errors_about_keys_do_not_show_them() -> None:
    for fail in (
        lambda: encryption.wrap_key(b"secret key bytes", "VMK", b"", bytes(32)),
        lambda: encryption.unwrap_key(b"", b"-----BEGIN secret", bytes(32)),
        lambda: p.Sealer(b"secret key bytes"),
    ):
        with pytest.raises(errors.SV2MError) as caught:
            fail()
        assert "secret" not in str(caught.value) and caught.value.__cause__ is None


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=2000), st.integers(1, 255))
def test_any_content_comes_back(content: bytes, stream: int) -> None:
    out = bytearray(len(content))
    assert p.Opener(VMK).open(stream, 0, sealed(stream, 0, content), out)[0] == len(content)
    assert bytes(out) == content
