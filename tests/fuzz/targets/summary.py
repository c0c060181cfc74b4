# SPDX-License-Identifier: Apache-2.0
"""What an evidence folder says of itself, in summary.json."""

from __future__ import annotations

from datetime import UTC

from sv2m import errors
from sv2m.evidence import summary
from tests.fuzz import saved, values
from tests.fuzz.target import Target, promise


def check(data: bytes) -> None:
    try:
        said = summary.read(data)
    except errors.PeerError:
        return
    promise(said.migration_id is None or isinstance(said.migration_id, str), "a migration id that is none")
    promise(all(isinstance(part, str) for pair in said.digests.items() for part in pair), "a digest that is no text")
    promise(said.offered_at is None or said.offered_at.tzinfo is UTC, "a time of which nobody knows when it was")


def make() -> Target:
    seeds = (
        saved.folder().files["summary.json"],
        b'{"documents": [{"kind": "Offer", "at": "2026-03-01T12:00:00+00:00", "sha384": "00"}]}',
        b'{"documents": [{"kind": "Offer", "at": "0001-01-01T00:00:00+14:00", "sha384": "00"}]}',
        b"[" * 2000,
        b"{}",
    )
    mutate = values.mutator(("kind", "at", "sha384", "documents", "migration_id"))
    return Target("evidence.summary: what a folder says of itself", check, seeds, ("sv2m.evidence",), mutate)
