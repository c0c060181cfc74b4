# SPDX-License-Identifier: Apache-2.0
"""The reader of messages: only exactly what the writer writes is a message."""

from __future__ import annotations

from lxml import etree

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol.wire.document import parser
from tests.fuzz import trees
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors

_SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"


def check(data: bytes) -> None:
    try:
        message = p.decode(data)
    except errors.MalformedMessage:
        return
    written = p.encode(message)
    promise(p.decode(written) == message, "what was read is not what is written")
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


def make() -> Target:
    seeds = (*vectors.documents(), *(vectors.unsigned(kind) for kind in vectors.KINDS))
    return Target(
        "protocol.decode, peek: wire messages",
        check,
        seeds,
        ("sv2m.protocol",),
        trees.mutator(seeds),
        max_bytes=64 << 10,
        memory=24 << 20,
    )
