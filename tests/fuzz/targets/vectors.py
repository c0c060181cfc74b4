# SPDX-License-Identifier: Apache-2.0
"""What was really signed and sealed: the published vectors, where every target of the protocol begins."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from sv2m import protocol as p
from tests.protocol.certificates import Identity
from tests.protocol.clouds import Pair
from tests.vectors.generate import load_identity

HERE = Path(__file__).parents[2] / "vectors"
KINDS = tuple(p.KINDS)


@functools.cache
def document(kind: str) -> bytes:
    """A signed message."""
    return (HERE / f"{kind.lower()}.xml").read_bytes()


@functools.cache
def documents() -> tuple[bytes, ...]:
    """All ten."""
    return tuple(document(kind) for kind in KINDS)


@functools.cache
def unsigned(kind: str) -> bytes:
    """What the signature of a message covers."""
    return p.encode(p.decode(document(kind)))


@functools.cache
def identity(name: str) -> Identity:
    """cloud-a or cloud-b, with its private key."""
    return load_identity(HERE, name)


def signature() -> bytes:
    """The trailer's signature, opened."""
    return (HERE / "signature.xml").read_bytes()


@functools.cache
def trailer() -> tuple[bytes, bytes]:
    """Context and manifest, as they were signed."""
    return p.verify_manifest(signature(), identity("cloud-a").leaf)


def vmk() -> bytes:
    """The migration's key."""
    return (HERE / "vmk.bin").read_bytes()


@functools.cache
def values() -> dict[str, Any]:
    """Everything else."""
    found: dict[str, Any] = json.loads((HERE / "values.json").read_text())
    return found


def pair(until: str) -> Pair:
    """Both sides of the vectors' migration, up to a step of :class:`tests.protocol.clouds.Pair`."""
    made = Pair(identity("cloud-a"), identity("cloud-b"))
    envelope, accepted = p.decode(document("Envelope")), p.decode(document("TokenBA2")).decision
    made.steps["accept"] = lambda: made.b.local(p.RoomHeld(accepted))
    made.steps["wrap"] = lambda: made.a.local(p.KeysWrapped(envelope.keys, envelope.streams))
    return made.run(until)
