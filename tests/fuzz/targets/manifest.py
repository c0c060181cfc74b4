# SPDX-License-Identifier: Apache-2.0
"""The reader of manifests."""

from __future__ import annotations

import re

from sv2m import errors
from sv2m.protocol import Manifest, StreamSummary
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors


def check(data: bytes) -> None:
    try:
        manifest = Manifest.from_xml(data)
    except errors.MalformedMessage:
        return
    promise(manifest.to_xml() == data, "something was taken that no manifest has")
    found = list(manifest)
    promise(found == sorted(found) and len(found) == data.count(b"<ds:Reference "), "entries were lost or moved")
    ours = Manifest.from_xml(vectors.trailer()[1])
    try:
        ours.compare(manifest)
        ours.check(StreamSummary(stream, len(parts), len(parts)) for stream, parts in _streams(manifest).items())
    except errors.IntegrityError:
        return
    promise(data == vectors.trailer()[1], "another manifest passes for the one that was signed")


def _streams(manifest: Manifest) -> dict[int, list[bytes]]:
    streams: dict[int, list[bytes]] = {}
    for stream, _, digest in manifest:
        streams.setdefault(stream, []).append(digest)
    return streams


def _split(data: bytes) -> list[bytes]:
    return [part for part in re.split(rb"(?=<ds:Reference )|(?=</ds:Manifest)|(?=/\d+\">)", data) if part]


def make() -> Target:
    many = Manifest()
    for stream, count in ((1, 3), (2, 12), (255, 1)):
        for index in range(count):
            many.add(stream, index, bytes([stream, index] * 16))
    seeds = (vectors.trailer()[1], many.to_xml(), Manifest().to_xml())
    return Target(
        "protocol.Manifest: ds:Manifest",
        check,
        seeds,
        ("sv2m.protocol",),
        pieces.mutator(_split, seeds, 30),
        memory=8 << 20,
    )
