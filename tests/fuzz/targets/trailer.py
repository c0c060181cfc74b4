# SPDX-License-Identifier: Apache-2.0
"""Verification of the trailer's signature: only the one context and manifest that were signed come out."""

from __future__ import annotations

from sv2m import errors
from sv2m import protocol as p
from tests.fuzz import trees
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors


def check(data: bytes) -> None:
    try:
        signed = p.verify_manifest(data, vectors.identity("cloud-a").leaf)
    except (errors.MalformedMessage, errors.InvalidSignature):
        return
    promise(signed == vectors.trailer(), "A never signed this manifest")
    promise(data == vectors.signature(), "a signature has two forms")


def make() -> Target:
    seeds = (vectors.signature(), vectors.document("Transfer"), *vectors.trailer())
    return Target(
        "protocol.verify_manifest: the trailer's signature",
        check,
        seeds,
        ("sv2m.protocol", "signxml"),
        trees.mutator(seeds),
        memory=24 << 20,
    )
