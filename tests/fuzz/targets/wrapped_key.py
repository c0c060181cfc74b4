# SPDX-License-Identifier: Apache-2.0
"""ekB as the peer sends it, and keys that were wrapped to ours."""

from __future__ import annotations

import functools
from unittest import mock

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import encryption
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors

_load = functools.cache(load_pem_private_key)


def check(data: bytes) -> None:
    """The first byte says whether the rest is a public key or a CipherValue."""
    if data[:1] == b"K":
        try:
            length = encryption.check_recipient(data[1:])
        except errors.IntegrityError:
            return
        promise(length in (384, 512), "keys would be wrapped to a key of another size")
        return
    label = bytes.fromhex(vectors.values()["context_digest"])
    try:
        # Reading the private key takes a hundred times as long as what is looked at here.
        with mock.patch.object(encryption, "load_pem_private_key", _load):
            key = encryption.unwrap_key(data[1:], (vectors.HERE / "ekb.key").read_bytes(), label)
    except errors.IntegrityError:
        return
    promise(key in (vectors.vmk(), (vectors.HERE / "eik-0.bin").read_bytes()), "a key came out that nobody wrapped")


def _split(data: bytes) -> list[bytes]:
    return [data[:1], *pieces.der(data[1:])]


def make() -> Target:
    decision = p.decode(vectors.document("TokenBA2")).decision
    keys = p.decode(vectors.document("Envelope")).keys
    seeds = (b"K" + decision.ephemeral_key, *(b"C" + key.cipher_value for key in keys))
    return Target(
        "protocol.encryption: ekB and wrapped keys",
        check,
        seeds,
        ("sv2m.protocol.encryption",),
        pieces.mutator(_split, seeds, 6),
        max_bytes=2 << 10,
    )
