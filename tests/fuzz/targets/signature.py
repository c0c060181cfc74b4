# SPDX-License-Identifier: Apache-2.0
"""Verification of messages: whatever the bytes, only what the certificate's key has signed comes out."""

from __future__ import annotations

from sv2m import errors
from sv2m import protocol as p
from tests.fuzz import trees
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors

#: Messages that A has signed; B's are there as well, as what another's key has signed.
_OF_A = {"Offer", "TokenAB", "Envelope", "Transfer", "Release", "Closure"}


def check(data: bytes) -> None:
    for kind in _kinds(data):
        try:
            verified = p.verify(data, kind, vectors.identity("cloud-a").leaf)
        except (errors.MalformedMessage, errors.InvalidSignature):
            continue
        promise(kind in _OF_A and verified.message_document == vectors.unsigned(kind), f"A never signed this {kind}")
        promise(data == vectors.document(kind), "a signed message has two forms")


def _kinds(data: bytes) -> list[str]:
    try:
        return [p.peek(data).kind]
    except errors.MalformedMessage:
        return ["Offer"]


def make() -> Target:
    seeds = vectors.documents()
    return Target(
        "protocol.verify: XML signatures of messages",
        check,
        seeds,
        ("sv2m.protocol", "signxml"),
        trees.mutator((*seeds, vectors.signature())),
        max_bytes=32 << 10,
        memory=24 << 20,
    )
