# SPDX-License-Identifier: Apache-2.0
"""No name that a stranger makes up reaches libxml2, which would keep it for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol.wire import document as documents
from tests.protocol.clouds import Pair

GOOD = Pair().run("offer").a.document("Offer")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<sv2m:Mode>", b"<sv2m:Mode><sv2m:Other></sv2m:Other>"),
        (b"<sv2m:Mode>", b'<sv2m:Mode Other="">'),
        (b"<sv2m:Mode>", b'<sv2m:Mode xmlns:x="urn:made-up">'),
        (b"<sv2m:Mode>", b'<sv2m:Mode xmlns:ds="urn:made-up">'),
        (b"<sv2m:Mode>", b'<sv2m:Mode xmlns="urn:made-up">'),
        (b"<sv2m:Mode>", b'<x:Mode xmlns:x="urn:sv2m:1">'),
        (b"<sv2m:Mode>", b'<sv2m:Mode Id="x>" Other="">'),
        (b"<sv2m:Mode>", b"<made-up <sv2m:Mode>"),
        (b"</sv2m:Mode>", b"</sv2m:Other>"),
        (b"</sv2m:Offer>", b"<made-up"),
    ],
)
def test_it_is_refused_before_anything_is_parsed(old: bytes, new: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert old in GOOD

    def parsed() -> None:
        raise AssertionError("a parser has seen it")

    monkeypatch.setattr(documents, "parser", parsed)
    with pytest.raises(errors.MalformedMessage):
        p.decode(GOOD.replace(old, new))


_FLOOD = """
from sv2m import errors, protocol as p

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

head = b'<sv2m:Offer xmlns:sv2m="urn:sv2m:1" MigrationId="6f1c1a9e-3c6e-4d52-9d5f-0a4a2e6f7b11" Version="1">'
names, before = 0, 0
for document in range(400):
    body = b"".join(b"<sv2m:n%d_%d></sv2m:n%d_%d>" % (document, n, document, n) for n in range(3000))
    try:
        p.decode(head + body + b"</sv2m:Offer>")
    except errors.MalformedMessage:
        names += 3000
    if document == 20:
        before = resident()
print(names, resident() - before)
"""


def test_a_million_names_take_no_memory() -> None:
    shown = subprocess.run([sys.executable, "-c", _FLOOD], capture_output=True, text=True, check=True).stdout
    names, grown = map(int, shown.split())
    assert names == 1_200_000
    assert grown < 8 << 20
