# SPDX-License-Identifier: Apache-2.0
"""Answers of a timestamp authority: only what it has signed for this question, or for these bytes, is one.

An input that begins with a line ``HTTP`` is a whole answer with status and headers; every other one is its body.
"""

from __future__ import annotations

import random
from typing import Any
from unittest import mock

from sv2m import errors
from sv2m.engine.authority import TimestampAuthority
from sv2m.evidence import timestamps
from tests.fuzz import pieces, saved
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import answers

_HTTP = b"HTTP\n"
_FILES = saved.folder().files
_DATA = saved.query().data
_ROOTS = [saved.root()]


def _said(stamp: timestamps.Stamp) -> tuple[Any, ...]:
    """What the authority signs; around it, an answer has bytes that are written into it and not signed."""
    return stamp.at, stamp.serial, stamp.policy


_KEPT = timestamps.verify(_FILES["timestamps/10-Receipt.tsr"], _DATA, _ROOTS)
_ANSWERED = saved.query().check(saved.answer(), _ROOTS)
#: What was said of these bytes: when they were kept, and to the question of now.
_TRUE = {_said(_KEPT), _said(_ANSWERED)}


class _Authority(TimestampAuthority):
    """With its roots in memory."""

    ca_pem = _FILES["certificates/ca.pem"].decode()


_AUTHORITY = _Authority("http://tsa.test/", "", None, 5)


def check(data: bytes) -> None:
    if data.startswith(_HTTP):
        _over_http(data.removeprefix(_HTTP))
        return
    try:
        promise(_said(timestamps.verify(data, _DATA, _ROOTS)) in _TRUE, "an answer that nobody signed is a timestamp")
    except errors.HostError as error:
        promise(error.code == "timestamp-refused", f"unexpected code {error.code}")
    try:
        promise(_said(saved.query().check(data, _ROOTS)) == _said(_ANSWERED), "it answers another question")
    except errors.HostError as error:
        promise(error.code == "timestamp-refused", f"unexpected code {error.code}")


def _over_http(data: bytes) -> None:
    with answers.answering(answers.parse(data)), mock.patch.object(timestamps.Query, "of", lambda _: saved.query()):
        try:
            _, stamp = _AUTHORITY.stamp(_DATA)
        except errors.HostError:
            return
    promise(_said(stamp) == _said(_ANSWERED), "it answers another question")


def _mutate(data: bytes, rng: random.Random) -> bytes:
    http = data.startswith(_HTTP)
    head, _, body = data.partition(b"\n\n") if http else (b"", b"", data)
    if not http or rng.random() < 0.5:
        body = _DER(body, rng)
    if http or rng.random() < 0.02:
        head = rng.choice((_HTTP + b"200", _HTTP + rng.choice(_HEADS), head or _HTTP + b"200"))
        if rng.random() < 0.3:
            head = pieces.flip(head, rng, len(head))
        return head + b"\n\n" + body
    return body


_HEADS = (
    b"200\nContent-Type: application/timestamp-reply",
    b"200\nContent-Encoding: gzip",
    b"200\nContent-Length: 99999999",
    b"302\nLocation: x\xf4\x41",
    b"302\nLocation: https://[",
    b"503\nRetry-After: 9",
    b"200\nTransfer-Encoding: chunked",
)
_OTHERS = tuple(data for name, data in sorted(_FILES.items()) if name.endswith(".tsr"))
_DER = pieces.mutator(pieces.der, [*_OTHERS, saved.answer()], 6)
#: A refusal with a reason (RFC 3161, section 2.4.2).
_REFUSAL = bytes.fromhex("3018301602010230090c0762616420616c6703060780000080"[:48] + "80") + b"\0"


def make() -> Target:
    http = _HTTP + b"200\nContent-Type: application/timestamp-reply\n\n" + saved.answer()
    seeds = (
        saved.answer(),
        *_OTHERS,
        b"0\x050\x03\x02\x01\x02",
        _REFUSAL,
        http,
        *(_HTTP + one + b"\n\n" for one in _HEADS),
    )
    return Target(
        "evidence.timestamps: answers of a timestamp authority",
        check,
        seeds,
        ("sv2m.evidence", "sv2m.engine"),
        _mutate,
        max_bytes=4 << 10,
    )
