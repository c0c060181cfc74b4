# SPDX-License-Identifier: Apache-2.0
"""The gateway's application: what reaches the engine, and how it answers strangers."""

from __future__ import annotations

import base64
import io
import json
import random
from typing import Any

from sv2m import errors
from sv2m import protocol as p
from sv2m.gateway.app import Gateway
from tests.fuzz import trees
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import vectors

_DOCUMENT = trees.mutator(vectors.documents())


class _Conductor:
    def __init__(self, document: bytes) -> None:
        self._document = document
        self.asked = 0

    def receive(self, context: dict[str, Any], document_b64: str, wait: bool = True) -> dict[str, Any]:
        document = base64.b64decode(document_b64, validate=True)
        promise(p.peek(document).migration_id == context["migration_id"], "another migration's context")
        promise(self._document.startswith(document), "other bytes than came")
        self.asked += 1
        return {"status": 204, "document_b64": None}


def check(data: bytes) -> None:
    """First line: method, path, Content-Length; the rest is the body."""
    first, _, body = data.partition(b"\n")
    method, path, length = [*first.decode("latin-1").split(" "), "", "", ""][:3]
    conductor = _Conductor(body)
    seen: list[tuple[str, list[tuple[str, str]]]] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_LENGTH": length,
        "wsgi.input": io.BytesIO(body),
        "REMOTE_ADDR": "192.0.2.7",
    }
    content = b"".join(Gateway(conductor)(environ, lambda status, headers: seen.append((status, headers))))
    ((status, headers),) = seen
    code = int(status.split()[0])
    promise(code in (200, 204) or 400 <= code < 500, f"a stranger's bytes make {code}")
    promise(
        dict(headers)["Content-Length"] == str(len(content)) and len(content) <= 2000, "an answer of another length"
    )
    if code >= 400:
        promise(set(json.loads(content)["error"]) == {"code", "message", "remedy", "fault"}, "not an error")
    promise(conductor.asked == (code == 204), "the engine was asked, or was not")
    if conductor.asked:
        promise((method, path) == ("POST", "/v1/messages"), "another path reaches the engine")
        try:
            p.peek(body[: int(length)])
        except errors.MalformedMessage:
            promise(False, "what is no document of ours reached the engine")


def _mutate(data: bytes, rng: random.Random) -> bytes:
    first, _, body = data.partition(b"\n")
    body = _DOCUMENT(body, rng)
    length = (
        str(len(body)) if rng.random() < 0.8 else rng.choice(("", "-1", "0", "1e3", "٣", "9" * 30, "9" * 5000, "+5"))
    )
    if rng.random() < 0.8:
        first = b"POST /v1/messages"
    return b" ".join(first.split(b" ")[:2]) + b" " + length.encode() + b"\n" + body


def make() -> Target:
    seeds = tuple(
        b"POST /v1/messages " + str(len(document)).encode() + b"\n" + document for document in vectors.documents()
    )
    extra = (b"GET / 0\n", b"PUT /v1/messages 5\nhello", b"POST /v1/messages 9\nhello", b"POST /other 5\nhello")
    return Target(
        "gateway.app: requests of peers",
        check,
        (*seeds, *extra),
        ("sv2m.gateway", "sv2m.protocol"),
        _mutate,
        max_bytes=32 << 10,
        memory=24 << 20,
    )
