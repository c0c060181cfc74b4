# SPDX-License-Identifier: Apache-2.0
"""The filter before nova-api: what is not for a peer passes it untouched."""

from __future__ import annotations

import io
import json
import random
from typing import Any

from sv2m.nova import answers
from sv2m.nova.filter import Filter
from tests.fuzz import values
from tests.fuzz.target import Target, promise

_SERVER = "11111111-1111-4111-8111-111111111111"
_JSON = values.mutator(("os-migrateLive", "migrate", "host", "block_migration", "force"))


class _Around:
    """Nova behind the filter, its rules, and SV2M's API."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.passed: bytes | None = None

    def refusal(self, context: Any, server: str, rule: str) -> None:
        return None

    def migrate(self, token: str, server: str, peer: str, request_id: str | None) -> answers.Answer:
        self.asked.append((server, peer))
        return answers.accepted(_SERVER, "http://sv2m/v1/migrations/" + _SERVER)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.passed = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return []


def check(data: bytes) -> None:
    """First line: the path; the rest is the body."""
    path, _, body = data.partition(b"\n")
    around: Any = _Around()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path.decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "nova.context": object(),
    }
    seen: list[str] = []
    list(Filter(around, around, around)(environ, lambda status, headers: seen.append(status)))
    promise(len(seen) == 1 and not seen[0].startswith("5"), f"answered {seen}")
    if around.asked:
        ((server, peer),) = around.asked
        promise(around.passed is None and peer.endswith(".sv2m"), "asked for what is no peer, or asked twice")
        promise(server.replace("-", "") in path.decode("latin-1").lower().replace("-", ""), "another server")
    else:
        promise(around.passed == body, "Nova reads something else than was sent")


def _mutate(data: bytes, rng: random.Random) -> bytes:
    path, _, body = data.partition(b"\n")
    return path + b"\n" + _JSON(body, rng)


def make() -> Target:
    bodies = (
        {"os-migrateLive": {"host": "cloud-b.sv2m", "block_migration": "auto"}},
        {"migrate": {"host": "cloud-b.sv2m"}},
        {"migrate": None},
        {"os-migrateLive": {"host": "node-1", "force": False}},
    )
    seeds = tuple(f"/servers/{_SERVER}/action\n{json.dumps(body)}".encode() for body in bodies)
    return Target("nova.filter: bodies for nova-api", check, seeds, ("sv2m.nova",), _mutate, max_bytes=6000)
