# SPDX-License-Identifier: Apache-2.0
"""The reader of what the manifest is bound to."""

from __future__ import annotations

from sv2m import errors
from sv2m.protocol.trailer import read_trailer_context, trailer_context
from tests.fuzz import trees
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors


def check(data: bytes) -> None:
    try:
        binding = read_trailer_context(data)
    except errors.MalformedMessage:
        return
    promise(trailer_context(binding) == data, "something was taken that no context has")


def make() -> Target:
    seeds = (vectors.trailer()[0],)
    return Target(
        "protocol.trailer: sv2m:Binding",
        check,
        seeds,
        ("sv2m.protocol",),
        trees.mutator((*seeds, vectors.unsigned("Release"))),
    )
