# SPDX-License-Identifier: Apache-2.0
"""What each message looks like: literal tables of fields, read and written by codecs.py."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final, Protocol

from lxml import etree

from sv2m.protocol import messages as m
from sv2m.protocol import needs as n
from sv2m.protocol.declaration import Declaration
from sv2m.protocol.plan import StreamPlan, StreamSummary, WrappedKey, total_segments
from sv2m.protocol.wire import encrypted
from sv2m.protocol.wire.codecs import (
    Binary,
    Boolean,
    Choice,
    Codec,
    Instant,
    Integer,
    Many,
    Struct,
    Text,
    children,
)
from sv2m.protocol.wire.element import Element, local

_TEXT = Text()
_INTEGER = Integer()
_BOOLEAN = Boolean()
_BINARY = Binary()
_INSTANT = Instant()

_PARTY = Struct(m.Party, {"name": _TEXT, "chain": Many("sv2m:Certificate", _BINARY)})
_NEEDS = Struct(
    n.Needs,
    {
        "name": _TEXT,
        "vm": _TEXT,
        "vcpus": _INTEGER,
        "memory_mb": _INTEGER,
        "architecture": _TEXT,
        "machine": _TEXT,
        "firmware": _TEXT,
        "cpu": Struct(n.Cpu, {"mode": _TEXT, "model": _TEXT}),
        "virt_type": _TEXT,
        "sysinfo": Struct(n.Sysinfo, {"manufacturer": _TEXT, "product": _TEXT, "version": _TEXT}),
        "root_gb": _INTEGER,
        "ephemeral_gb": _INTEGER,
        "swap_mb": _INTEGER,
        "disks": Many(
            "sv2m:Disk",
            Struct(
                n.Disk,
                {
                    "index": _INTEGER,
                    "target": _TEXT,
                    "bus": _TEXT,
                    "size": _INTEGER,
                    "logical_block_size": _INTEGER,
                    "physical_block_size": _INTEGER,
                    "volume_gb": _INTEGER,
                    "encrypted": _BOOLEAN,
                    "cipher": _TEXT,
                    "key_size": _INTEGER,
                    "boot": _BOOLEAN,
                },
            ),
        ),
        "nics": Many(
            "sv2m:Nic",
            Struct(n.Nic, {"index": _INTEGER, "mac": _TEXT, "model": _TEXT, "mtu": _INTEGER}),
        ),
        "devices": Many("sv2m:Device", _TEXT),
        "addresses": Many("sv2m:Address", _TEXT),
    },
)
_DECISION = Choice(
    {
        m.Accepted: Struct(
            m.Accepted, {"ephemeral_key": _BINARY, "endpoint_host": _TEXT, "endpoint_port": _INTEGER}
        ),
        m.Refused: Struct(m.Refused, {"code": _TEXT, "reason": _TEXT}),
    }
)
#: The session as both signatures and the OAEP label bind it. Source: protocol.md, Keys and step 5.
_CONTEXT: Final[dict[str, Codec]] = {
    "migration_id": _TEXT,
    "sid": _BINARY,
    "source": _TEXT,
    "destination": _TEXT,
    "source_certificate_digest": _BINARY,
    "destination_certificate_digest": _BINARY,
}
_STREAM_PLANS = Many(
    "sv2m:Stream",
    Struct(StreamPlan, {"id": _INTEGER, "kind": _TEXT, "index": _INTEGER, "segment_size": _INTEGER}),
)
_STREAM_SUMMARIES = Many(
    "sv2m:Stream", Struct(StreamSummary, {"id": _INTEGER, "segments": _INTEGER, "length": _INTEGER})
)


def context_element(session: object) -> Element:
    """sv2m:Context of anything that has the session's fields, as an Envelope has."""
    return Element("sv2m:Context", children=Struct(m.Envelope, _CONTEXT).write_fields(session))


def context_label(session: object) -> bytes:
    """SHA-256 of the canonical sv2m:Context: the OAEPparams of every key that is wrapped in this session."""
    return sha256(context_element(session).render()).digest()


class Shape(Protocol):
    """What a message has under its root."""

    def write_fields(self, value: Any) -> list[Element]:
        """The root's children."""

    def read_fields(self, elements: list[etree._Element]) -> dict[str, Any]:
        """The fields but migration_id."""


class _EnvelopeShape:
    """Context, Streams, Keys; the context repeats the migration id, which decode() compares."""

    def write_fields(self, value: m.Envelope) -> list[Element]:
        keys = encrypted.EncryptedKeys(value.destination, context_label(value))
        return [
            context_element(value),
            _STREAM_PLANS.write("sv2m:Streams", value.streams),
            Many("sv2m:Key", keys).write("sv2m:Keys", value.keys),
        ]

    def read_fields(self, elements: list[etree._Element]) -> dict[str, Any]:
        if [element.tag for element in elements] != [
            local(f"sv2m:{tag}") for tag in ("Context", "Streams", "Keys")
        ]:
            raise ValueError("an Envelope has Context, Streams and Keys")
        context, streams, keys = elements
        fields = Struct(m.Envelope, _CONTEXT).read_fields(children(context))
        del fields["migration_id"]
        read_keys: tuple[WrappedKey, ...] = Many("sv2m:Key", encrypted.EncryptedKeys("", b"")).read(keys)
        return {**fields, "streams": _STREAM_PLANS.read(streams), "keys": read_keys}


class _TransferShape:
    """Sid, Streams, one EncryptedData per segment, the signature's digest, and its EncryptedData.
    Of the segments' elements only their number is read: decode() compares every byte of them with what this
       class writes for these streams, which is stricter than reading each could be.
    """

    def write_fields(self, value: m.Transfer) -> list[Element]:
        listed = Element("sv2m:Segments")
        listed.children.append(encrypted.segments(value.streams))
        return [
            _BINARY.write("sv2m:Sid", value.sid),
            _STREAM_SUMMARIES.write("sv2m:Streams", value.streams),
            listed,
            _BINARY.write("sv2m:TrailerDigest", value.trailer_digest),
            Element("sv2m:Signature", children=[encrypted.sealed_signature(value.sealed_signature)]),
        ]

    def read_fields(self, elements: list[etree._Element]) -> dict[str, Any]:
        tags = [local(f"sv2m:{tag}") for tag in ("Sid", "Streams", "Segments", "TrailerDigest", "Signature")]
        if [element.tag for element in elements] != tags:
            raise ValueError("a Transfer has Sid, Streams, Segments, TrailerDigest and Signature")
        sid, streams, listed, digest, signature = elements
        summaries = _STREAM_SUMMARIES.read(streams)
        # Counted before the re-encoding, so that a small document cannot make us write a large one.
        if len(listed) != total_segments(summaries):
            raise ValueError("a Transfer lists other segments than its streams have")
        (sealed,) = children(signature)
        return {
            "sid": _BINARY.read(sid),
            "streams": summaries,
            "trailer_digest": _BINARY.read(digest),
            "sealed_signature": encrypted.read_sealed_signature(sealed),
        }


_DIGESTS = {"sid": _BINARY, "envelope_digest": _BINARY, "transfer_digest": _BINARY}
_PARTIES = {"source": _TEXT, "destination": _TEXT}

#: Everything under the root, by kind; MigrationId is an attribute of the root.
SHAPES: Final[dict[str, Shape]] = {
    "Offer": Struct(
        m.Offer,
        {
            "generation": _INTEGER,
            "source": _PARTY,
            "destination": _TEXT,
            "mode": _TEXT,
            "not_after": _INSTANT,
            "needs": _NEEDS,
        },
    ),
    "TokenBA1": Struct(m.TokenBA1, {"destination": _PARTY, "nonce_b": _BINARY}),
    "TokenAB": Struct(
        m.TokenAB,
        {
            "nonce_a": _BINARY,
            "nonce_b": _BINARY,
            **_PARTIES,
            "source_certificate_digest": _BINARY,
            "destination_certificate_digest": _BINARY,
            "offer_digest": _BINARY,
        },
    ),
    "TokenBA2": Struct(
        m.TokenBA2,
        {
            "nonce_b": _BINARY,
            "nonce_a": _BINARY,
            "destination": _TEXT,
            "source": _TEXT,
            "destination_certificate_digest": _BINARY,
            "source_certificate_digest": _BINARY,
            "offer_digest": _BINARY,
            "decision": _DECISION,
        },
    ),
    "Envelope": _EnvelopeShape(),
    "Transfer": _TransferShape(),
    "Prepared": Struct(m.Prepared, _DIGESTS),
    "Release": Struct(m.Release, {**_DIGESTS, "prepared_digest": _BINARY, "released_at": _INSTANT}),
    "Receipt": Struct(
        m.Receipt,
        {
            "sid": _BINARY,
            "outcome": _TEXT,
            "reason": _TEXT,
            "envelope_digest": _BINARY,
            "transfer_digest": _BINARY,
            "release_digest": _BINARY,
            "at": _INSTANT,
        },
    ),
    "Closure": Struct(
        m.Closure, {"sid": _BINARY, "outcome": _TEXT, "receipt_digest": _BINARY, "at": _INSTANT}
    ),
    "Declaration": Struct(
        Declaration,
        {
            "sid": _BINARY,
            "cloud": _TEXT,
            "kind": _TEXT,
            "reason": _TEXT,
            "prepared_digest": _BINARY,
            "release_digest": _BINARY,
            "receipt_digest": _BINARY,
            "at": _INSTANT,
        },
    ),
}
