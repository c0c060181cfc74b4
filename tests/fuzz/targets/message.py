# SPDX-License-Identifier: Apache-2.0
"""The reader of messages and declarations: only exactly what the writer writes is one."""

from __future__ import annotations

from datetime import UTC, datetime

from lxml import etree

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol.wire.document import parser
from tests.fuzz import trees
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors

_SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"


def check(data: bytes) -> None:
    decode = p.decode_declaration if data.startswith(b"<sv2m:Declaration ") else p.decode
    try:
        message = decode(data)
    except errors.MalformedMessage:
        return
    written = p.encode(message)
    promise(decode(written) == message, "what was read is not what is written")
    claim = p.peek(data)
    promise((claim.kind, claim.migration_id) == (type(message).__name__, message.migration_id), "peek saw another")
    if data == written:
        return
    # A signature, at which nobody looks here, may follow the last field; nothing else may differ.
    end = f"</sv2m:{claim.kind}>".encode()
    fields = written.removesuffix(end)
    promise(data.startswith(fields) and data.endswith(end), "something was taken that no message has")
    behind = etree.fromstring(b'<x xmlns:sv2m="urn:sv2m:1">' + data[len(fields) : -len(end)] + b"</x>", parser())
    promise([one.tag for one in behind] == [_SIGNATURE] and not behind.text, "more than a signature stands at the end")


def _declaration() -> bytes:
    at, digest = datetime(2026, 3, 1, 12, tzinfo=UTC), bytes(48)
    of = ("6f1c1a9e-3c6e-4d52-9d5f-0a4a2e6f7b11", digest, "cloud-b.sv2m")
    return p.encode(p.Declaration(*of, "lost", "host b7 was scrapped", digest, digest, digest, at))


def make() -> Target:
    seeds = (*vectors.documents(), *(vectors.unsigned(kind) for kind in vectors.KINDS), _declaration())
    return Target(
        "protocol.decode, peek: wire messages",
        check,
        seeds,
        ("sv2m.protocol",),
        trees.mutator(seeds),
        max_bytes=64 << 10,
        memory=24 << 20,
    )
