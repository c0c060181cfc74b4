# SPDX-License-Identifier: Apache-2.0
"""Documents made to hurt whoever parses them: entities, external files, size, depth, attributes, other
spellings.
"""

from __future__ import annotations

import re
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from lxml import etree

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import fields, wire
from sv2m.protocol.messages import MAX_SEALED_SIGNATURE
from sv2m.protocol.plan import MAX_SEGMENTS
from sv2m.protocol.wire import document as documents
from tests.protocol import certificates
from tests.protocol.clouds import Pair, offer

A = certificates.identity("cloud-a.sv2m")
HEAD = b'<sv2m:Offer xmlns:sv2m="urn:sv2m:1" MigrationId="6f1c1a9e-3c6e-4d52-9d5f-0a4a2e6f7b11" Version="1">'
TAIL = b"</sv2m:Offer>"


@pytest.fixture(scope="module")
def good() -> bytes:
    return p.encode(offer(A, "cloud-b.sv2m"))


def refused(document: bytes) -> str:
    messages = []
    for read in (
        p.decode,
        p.claimed_party,
        lambda data: p.verify(data, "Offer", A.leaf),
        lambda data: p.sign(data, A.key, A.chain),
    ):
        with pytest.raises(errors.PeerError) as caught:
            read(document)
        messages.append(caught.value.message)
    return messages[0]


def test_an_external_entity_reads_no_file(good: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("cloud-b.sv2m")
    dtd = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>'.encode()
    refused(dtd + good.replace(b"cloud-b.sv2m", b"&e;"))
    refused(good.replace(b"cloud-b.sv2m", b"&e;"))


def test_an_external_dtd_is_not_fetched(good: bytes) -> None:
    refused(b'<!DOCTYPE x SYSTEM "http://192.0.2.9/x.dtd">' + good)
    # Where a declaration may not stand, but a careless filter on the first bytes would not look:
    assert "declaration" in refused(good.replace(b"<sv2m:Mode>", b'<!DOCTYPE x SYSTEM "x"><sv2m:Mode>'))


def test_a_billion_laughs(good: bytes) -> None:
    levels = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    refused(b'<!DOCTYPE x [<!ENTITY l0 "ha">' + levels + b"]>" + good.replace(b"paused", b"&l9;"))


def test_a_hundred_megabytes_are_refused_by_their_size_alone() -> None:
    document = HEAD + b"A" * (100 << 20) + TAIL
    tracemalloc.start()
    assert "bytes; at most" in refused(document)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_small_kind_is_refused_above_its_own_size() -> None:
    document = HEAD + b"A" * wire.MAX_SMALL + TAIL
    assert f"at most {wire.MAX_SMALL}" in refused(document)


def test_deep_nesting() -> None:
    for depth in (300, 8000):
        refused(HEAD + b"<sv2m:Name>" * depth + b"</sv2m:Name>" * depth + TAIL)


def test_a_million_attributes() -> None:
    attributes = b"".join(b' a%07d=""' % n for n in range(1_000_000))
    refused(HEAD + b"<sv2m:Name" + attributes + b"></sv2m:Name>" + TAIL)
    attributes = attributes[: 12 * 450_000]
    # As a Transfer it has the size of one; so many attributes must then be refused by the reader itself.
    head = HEAD.replace(b"Offer", b"Transfer")
    document = head + b"<sv2m:Sid" + attributes + b"></sv2m:Sid></sv2m:Transfer>"
    assert len(document) < wire.MAX_TRANSFER
    refused(document)


def test_a_small_transfer_cannot_make_us_write_a_large_one() -> None:
    pair = Pair().run("seal")
    document = p.encode(pair.a.machine.message(p.Transfer))
    evil = document.replace(
        b"<sv2m:Segments>3</sv2m:Segments>", b"<sv2m:Segments>30000</sv2m:Segments>"
    ).replace(b"<sv2m:Segments>2</sv2m:Segments>", b"<sv2m:Segments>2</sv2m:Segments>")
    assert evil != document
    with pytest.raises(errors.MalformedMessage):
        p.decode(evil)


@pytest.mark.parametrize(
    "uri",
    ["file:///etc/passwd", "http://192.0.2.9/0.seg", "../../2/0.seg", "2/1.seg", "2/00.seg", "", "2/0.seg?x"],
)
def test_a_cipher_reference_points_nowhere_but_to_its_segment(uri: str) -> None:
    document = p.encode(Pair().run("seal").a.machine.message(p.Transfer))
    evil = document.replace(b'URI="2/0.seg"', f'URI="{uri}"'.encode())
    assert evil != document
    with pytest.raises(errors.MalformedMessage):
        p.decode(evil)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2009/xmlenc11#aes256-gcm", "2001/04/xmlenc#aes256-cbc"),
        ("2009/xmlenc11#aes256-gcm", "2009/xmlenc11#aes128-gcm"),
        ("<ds:KeyName>VMK", "<ds:KeyName>EIK-0"),
        ("envelope.xml#VMK", "http://192.0.2.9/key"),
        ('Id="s2-0"', 'Id="s2-1"'),
        ("<xenc:CipherReference ", '<xenc:CipherReference Type="x" '),
    ],
)
def test_other_encryption_of_segments(old: str, new: str) -> None:
    document = p.encode(Pair().run("seal").a.machine.message(p.Transfer))
    assert old.encode() in document
    with pytest.raises(errors.MalformedMessage):
        p.decode(document.replace(old.encode(), new.encode(), 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2009/xmlenc11#rsa-oaep", "2001/04/xmlenc#rsa-1_5"),
        ("2009/xmlenc11#rsa-oaep", "2001/04/xmlenc#rsa-oaep-mgf1p"),
        ("2001/04/xmlenc#sha256", "2000/09/xmldsig#sha1"),
        ("xmlenc11#mgf1sha256", "xmlenc11#mgf1sha1"),
        ("<xenc:OAEPparams>", "<xenc:OAEPparams>AAAA"),
        ('Recipient="cloud-b.sv2m"', 'Recipient="cloud-c.sv2m"'),
        ("<xenc:CarriedKeyName>VMK", "<xenc:CarriedKeyName>EIK-0"),
    ],
)
def test_other_encryption_of_keys(old: str, new: str) -> None:
    document = p.encode(Pair().run("wrap").a.machine.message(p.Envelope))
    assert old.encode() in document
    with pytest.raises(errors.MalformedMessage):
        p.decode(document.replace(old.encode(), new.encode(), 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<sv2m:Mode>paused</sv2m:Mode>", b""),
        (b"<sv2m:Mode>paused</sv2m:Mode>", b"<sv2m:Mode>paused</sv2m:Mode>" * 2),
        (b"<sv2m:Mode>paused</sv2m:Mode>", b"<sv2m:Mode>live</sv2m:Mode>"),
        (b"<sv2m:Mode>", b'<sv2m:Mode x="">'),
        (b"<sv2m:Mode>", b" <sv2m:Mode>"),
        (b"<sv2m:Mode>", b"<sv2m:Mode>\n"),
        (b"<sv2m:Vcpus>1<", b"<sv2m:Vcpus>01<"),
        (b"<sv2m:Vcpus>1<", b"<sv2m:Vcpus>-1<"),
        (b"<sv2m:Vcpus>1<", b"<sv2m:Vcpus>+1<"),
        (b"<sv2m:Vcpus>1<", b"<sv2m:Vcpus>" + "١".encode() + b"<"),
        (b"<sv2m:Vcpus>1<", b"<sv2m:Vcpus>9999999999999999999999<"),
        (b"<sv2m:Size>1073741824<", b"<sv2m:Size>0<"),
        (b"<sv2m:Target>vda<", b"<sv2m:Target>/dev/sda<"),
        (b"<sv2m:Target>vda<", b"<sv2m:Target>../vda<"),
        (b"<sv2m:Boot>true<", b"<sv2m:Boot>1<"),
        (b"<sv2m:Mac>fa:", b"<sv2m:Mac>FA:"),
        (b"<sv2m:Mac>fa:", b"<sv2m:Mac>fb:"),
        (b"<sv2m:Destination>cloud-b.sv2m<", b"<sv2m:Destination>Cloud-B.sv2m<"),
        (b"<sv2m:Destination>cloud-b.sv2m<", b"<sv2m:Destination>cloud-b.sv2m <"),
        (b"<sv2m:Device>rng:virtio<", b"<sv2m:Device>hostdev:/dev/vfio<"),
        (b"2026-03-01T13:00:00Z", b"2026-03-01T13:00:00+00:00"),
        (b"2026-03-01T13:00:00Z", b"2026-02-30T13:00:00Z"),
        (b'Version="1"', b'Version="2"'),
        (b'Version="1"', b'Version="1" Extra=""'),
        (b"sv2m:", b"a:"),
        (b"urn:sv2m:1", b"urn:sv2m:2"),
        (b'xmlns:sv2m="urn:sv2m:1"', b"xmlns:sv2m='urn:sv2m:1'"),
        (b"<sv2m:Product>OpenStack Nova<", b"<sv2m:Product>OpenStack&#10;Nova<"),
        (b"<sv2m:Product>OpenStack Nova<", b"<sv2m:Product><![CDATA[OpenStack Nova]]><"),
        (b"<sv2m:Product>OpenStack Nova<", b'<sv2m:Product><x xmlns="rel"></x><'),
    ],
)
def test_a_message_has_exactly_one_spelling(good: bytes, old: bytes, new: bytes) -> None:
    assert old in good
    with pytest.raises(errors.MalformedMessage):
        p.decode(good.replace(old, new))


def test_an_unknown_version_is_named_as_such(good: bytes) -> None:
    with pytest.raises(errors.MalformedMessage) as caught:
        p.peek(good.replace(b'Version="1"', b'Version="2"'))
    assert caught.value.code == "unsupported-version"


@pytest.mark.parametrize("prefix", [b'<?xml version="1.0"?>', b"\xef\xbb\xbf", b" ", b"\n"])
def test_nothing_stands_before_or_behind_a_message(good: bytes, prefix: bytes) -> None:
    refused(prefix + good)
    refused(good + prefix)
    refused(good.decode().encode("utf-16"))


def test_errors_do_not_repeat_what_came(good: bytes) -> None:
    secret = "correct-horse-battery-staple"
    for document in (
        good.replace(b"<sv2m:Mode>paused", f"<sv2m:Mode>{secret}".encode()),
        good.replace(b"<sv2m:Mode>paused", f"<{secret}".encode()),
    ):
        assert secret not in refused(document)


def test_what_the_writer_writes_is_what_libxml2_calls_canonical() -> None:
    pair = Pair().run()
    for received in pair.a.transcript.values():
        document = p.encode(received.message)
        assert etree.tostring(etree.fromstring(document), method="c14n", exclusive=True) == document
        assert documents.parse(received.document) is not None


def test_the_largest_messages_fit_their_caps() -> None:
    pair = Pair().run()
    envelope = pair.a.machine.message(p.Envelope)
    key = envelope.keys[1]
    keys = tuple(p.WrappedKey(f"EIK-{n}", key.kind, bytes(512), key.commitment, 2048) for n in range(32))
    streams = (
        p.StreamPlan(1, "memory", 0, 64 << 20),
        *tuple(p.StreamPlan(n + 2, "disk", n, 64 << 20) for n in range(32)),
    )
    vmk = p.WrappedKey("VMK", "vmk", bytes(512), key.commitment, 256)
    largest = p.Envelope(
        envelope.migration_id,
        envelope.sid,
        "a" * 63 + ".b",
        "c" * 63 + ".d",
        bytes(32),
        bytes(32),
        streams,
        (vmk, *keys),
    )
    assert len(p.encode(largest)) + 8192 < wire.MAX_SMALL
    needs = pair.offer.needs.to_dict()
    needs["name"] = "&" * 255
    needs["sysinfo"] = dict.fromkeys(needs["sysinfo"], "&" * 255)
    needs["disks"] = [
        {**needs["disks"][0], "index": n, "target": "t" * 128, "bus": "b" * 128, "cipher": "c" * 128}
        for n in range(32)
    ]
    needs["nics"] = [{**needs["nics"][0], "index": n, "model": "m" * 128} for n in range(32)]
    needs["devices"] = ["d" * 64] * 128
    needs["addresses"] = [f"{n:064}" for n in range(256)]
    party = p.Party("cloud-a.sv2m", (bytes(4096),) * 5)
    offered = p.Offer(
        pair.offer.migration_id,
        1,
        party,
        "cloud-b.sv2m",
        "paused",
        pair.offer.not_after,
        p.Needs.from_dict(needs),
    )
    assert len(p.encode(offered)) + 8192 < wire.MAX_SMALL
    assert p.decode(p.encode(offered)) == offered


def test_the_largest_transfer_fits_its_cap_and_comes_back() -> None:
    sealed = bytes(MAX_SEALED_SIGNATURE)
    each = MAX_SEGMENTS // 33
    streams = (
        *tuple(p.StreamSummary(200 + n, each, each) for n in range(32)),
        p.StreamSummary(255, MAX_SEGMENTS - 32 * each, MAX_SEGMENTS),
    )
    transfer = p.Transfer(Pair().offer.migration_id, bytes(48), streams, bytes(48), sealed)
    document = p.encode(transfer)
    assert len(document) + 8192 < wire.MAX_TRANSFER
    assert p.decode(document) == transfer


_TIMES = ("1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z")


@pytest.mark.parametrize("at", _TIMES)
@pytest.mark.parametrize("kind", ["Offer", "Release", "Receipt", "Closure"])
def test_a_point_in_time_is_of_our_days(kind: str, at: str) -> None:
    """One of the year 9999 runs over in whatever is added to it, and so may stop more than its own migration."""
    pair = Pair().run()
    side = pair.b if kind == "Receipt" else pair.a
    document = p.encode(side.transcript[kind].message)
    changed = re.sub(rb">\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ<", f">{at}<".encode(), document)
    assert changed != document
    with pytest.raises(errors.MalformedMessage):
        p.decode(changed)


def test_the_first_and_the_last_point_in_time() -> None:
    for year, month in ((2000, 1), (2199, 12)):
        at = datetime(year, month, 1, tzinfo=UTC)
        assert fields.instant("at", at) == at
    for zone in (timedelta(hours=14), -timedelta(hours=12)):
        for at in (datetime.max, datetime.min):
            with pytest.raises(errors.LocalError):
                fields.instant("at", at.replace(tzinfo=timezone(zone)))
