# SPDX-License-Identifier: Apache-2.0
"""A Transfer of megabytes costs nobody but its sender's peer a parser: its signature comes first, over its bytes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from unittest import mock

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import signed_bytes
from sv2m.protocol.plan import MAX_SEGMENTS
from sv2m.protocol.signing_key import load_certificate
from sv2m.protocol.wire import document, names
from tests.protocol import certificates
from tests.protocol.clouds import Pair

CUT = b"<ds:Signature "


def large(identity: certificates.Identity, segments: int = 2000) -> bytes:
    streams = (p.StreamSummary(1, segments, segments),)
    transfer = p.Transfer(Pair().offer.migration_id, bytes(48), streams, bytes(48), bytes(1000))
    return p.sign(p.encode(transfer), identity.key, identity.chain)


@pytest.fixture(scope="module", params=["ec", "rsa"])
def identity(request: pytest.FixtureRequest) -> certificates.Identity:
    make = {"ec": certificates.identity, "rsa": certificates.rsa_identity}[request.param]
    return make("cloud-a.sv2m")


@pytest.fixture(scope="module")
def signed(identity: certificates.Identity) -> bytes:
    made = large(identity)
    assert len(made) > document.MAX_SMALL
    return made


def test_what_its_sender_signed_is_taken(identity: certificates.Identity, signed: bytes) -> None:
    signed_bytes.check(signed, load_certificate(identity.leaf))
    assert p.verify(signed, "Transfer", identity.leaf)


def _elements(signed: bytes) -> bytes:
    """What nobody has signed, in front of the true signature."""
    at = signed.rindex(CUT)
    return signed[:at] + b"<sv2m:Id>a</sv2m:Id>" * 100_000 + signed[at:]


def _another_value(signed: bytes) -> bytes:
    begin = signed.rindex(b"<ds:SignatureValue>") + 19
    end = signed.rindex(b"</ds:SignatureValue>")
    return signed[:begin] + b64encode(bytes(range(96))) + signed[end:]


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "elements": _elements,
    "another value": _another_value,
    "another digest": lambda signed: (
        signed[: signed.rindex(b"<ds:DigestValue>") + 16] + b"A" * 64 + signed[signed.rindex(b"</ds:DigestValue>") :]
    ),
    "no signature": lambda signed: signed[: signed.rindex(CUT)] + signed[signed.rindex(b"</sv2m:Transfer>") :],
    "two digests": lambda signed: signed.replace(
        b"</ds:Reference>", b"<ds:DigestValue>" + b"A" * 64 + b"</ds:DigestValue></ds:Reference>"
    ),
    "a signature in the middle": lambda signed: signed.replace(
        b"</sv2m:Transfer>", b"<sv2m:Id>a</sv2m:Id></sv2m:Transfer>"
    ),
    "nothing behind it": lambda signed: signed[: signed.rindex(b"</sv2m:Transfer>")],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_parser_sees_what_its_sender_has_not_signed(
    identity: certificates.Identity, signed: bytes, change: Callable[[bytes], bytes]
) -> None:
    with mock.patch.object(document.etree, "fromstring") as parser, pytest.raises(errors.InvalidSignature):
        p.verify(change(signed), "Transfer", identity.leaf)
    assert not parser.called


def test_another_clouds_signature_is_none(signed: bytes) -> None:
    other = certificates.identity("cloud-c.sv2m")
    with mock.patch.object(document.etree, "fromstring") as parser, pytest.raises(errors.InvalidSignature):
        p.verify(signed, "Transfer", other.leaf)
    assert not parser.called


def test_no_document_has_more_tags_than_the_largest_transfer() -> None:
    made = p.encode(
        p.Transfer(
            Pair().offer.migration_id,
            bytes(48),
            (p.StreamSummary(1, MAX_SEGMENTS, MAX_SEGMENTS),),
            bytes(48),
            bytes(99),
        )
    )
    names.check_names(made)
    with pytest.raises(errors.MalformedMessage, match="more than"):
        names.check_names(made + b"<sv2m:Id></sv2m:Id>" * 4096)
