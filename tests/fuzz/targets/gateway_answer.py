# SPDX-License-Identifier: Apache-2.0
"""What a peer's gateway answers."""

from __future__ import annotations

import gzip
import json
import random
import re

from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors
from sv2m import protocol as p
from sv2m.gateway.client import PeerClient
from tests.fuzz import values
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import answers, authority, vectors

_CA = authority.root().public_bytes(Encoding.PEM).decode()
_ERROR = {"error": {"code": "replayed-message", "message": "taken before", "remedy": "", "fault": "peer"}}
_CODE = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
_JSON = values.mutator(("error", "code", "message"))


def check(data: bytes) -> None:
    answer = answers.parse(data)
    with answers.answering(answer):
        try:
            said = PeerClient(5).send("https://b", _CA, vectors.document("Offer"))
        except (errors.PeerUnreachable, errors.RefusedByPeer, errors.MalformedMessage) as error:
            promise(len(error.message) <= 2000 and len(error.code) <= 64, "the peer says as much as it likes")
            promise(error.message.isprintable(), "the peer gives orders to a terminal")
            promise(_CODE.fullmatch(error.code) is not None, "what is no code is shown as one")
            return
    promise(said.done == (answer[0] != 202), "done is not what was said")
    promise((said.document is None) == (answer[0] != 200), "a document came without being one")
    promise(said.document is None or len(said.document) <= p.MAX_DOCUMENT, "too large")


def _mutate(data: bytes, rng: random.Random) -> bytes:
    head, _, body = data.partition(b"\n\n")
    if rng.random() < 0.3:
        head = rng.choice((b"200", b"202\nRetry-After: 1", b"204", b"400", b"409", b"500", b"302\nLocation: x", b"100"))
    if rng.random() < 0.7:
        body = _JSON(body, rng)
    if rng.random() < 0.15:
        return head + b"\nContent-Encoding: gzip\n\n" + gzip.compress(body)[: rng.choice((5, 20, 10000))]
    return head + b"\n\n" + body


def make() -> Target:
    body = json.dumps(_ERROR).encode()
    seeds = (
        b"200\nContent-Type: application/xml\n\n" + vectors.document("TokenBA1"),
        b"202\nRetry-After: 1\n\n",
        b"204\n\n",
        b"400\nContent-Type: application/json\n\n" + body,
        b"503\n\n" + body,
        b"403\n\n[]",
        b'400\n\n{"error": {"code": [], "message": {}}}',
        b'400\n\n{"error": {"code": "a\\u001b[2J", "message": "b\\r\\n\\u001b[2J"}}',
        b"200\nContent-Encoding: gzip\n\nnot gzip",
    )
    return Target("gateway.client: answers of peers", check, seeds, ("sv2m.gateway",), _mutate)
