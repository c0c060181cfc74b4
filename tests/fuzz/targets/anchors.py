# SPDX-License-Identifier: Apache-2.0
"""Certificates in PEM as operators give them: an agreement's CA, and what a CA sent for a request."""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sv2m import errors
from sv2m.evidence import path
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import authority


def check(data: bytes) -> None:
    try:
        anchors = path.load_anchors(data.decode("utf-8", "surrogateescape"))
        promise(bool(anchors), "an agreement without a CA")
        path.validate(authority.chain(), authority.CLOUD, anchors, authority.NOW)
    except (errors.ConfigurationError, errors.InvalidCertificate):
        return
    known = [_key(one) for one in (authority.root(), *authority.chain())]
    promise(any(_key(anchor) in known for anchor in anchors), "a chain leads to a CA that was not named")


def _key(certificate: x509.Certificate) -> bytes | None:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _split(data: bytes) -> list[bytes]:
    return re.findall(rb"-----[^-\n]*-----\n?|[^\n]*\n|.+", data, re.DOTALL)


def make() -> Target:
    pem = [one.public_bytes(Encoding.PEM) for one in (authority.root(), *authority.chain(), *authority.stranger())]
    seeds = (pem[0], pem[0] + pem[1], pem[3], b"Subject: CN=root\n\n" + pem[0])
    return Target(
        "evidence.path.load_anchors: PEM of operators",
        check,
        seeds,
        ("sv2m.cmm", "sv2m.evidence"),
        pieces.mutator(_split, seeds, 30),
        max_bytes=8 << 10,
    )
