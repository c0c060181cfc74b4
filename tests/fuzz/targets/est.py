# SPDX-License-Identifier: Apache-2.0
"""Answers of an EST server: status, headers, compressed bodies, base64, PKCS#7."""

from __future__ import annotations

import base64
import gzip
import random
import zlib

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from sv2m import errors
from sv2m.cmm import request
from sv2m.cmm.est import MAX_ANSWER, EstClient
from sv2m.cmm.fetch import HttpFetch
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import answers, authority

_, _REQUEST = request.make(authority.CLOUD)
_CLIENT = EstClient("https://ca.test/.well-known/est", "cloud", "pass", None, 5)


def check(data: bytes) -> None:
    with answers.answering(answers.parse(data)):
        try:
            body = HttpFetch(5)("http://crl.test/ca.crl", MAX_ANSWER)
            promise(len(body) <= MAX_ANSWER, "more was read than the limit")
        except errors.ServiceUnavailable:
            pass
        try:
            issued = _CLIENT.simpleenroll(b"csr")
        except (errors.HostError, errors.ConfigurationError) as error:
            promise("pass" not in error.message.split(), "the password is in an error")
            return
    for certificate in issued.certificates:
        promise(not request.same_key(_REQUEST, certificate), "a certificate of somebody else's key is ours")


def _mutate(data: bytes, rng: random.Random) -> bytes:
    head, _, body = data.partition(b"\n\n")
    try:
        der = base64.b64decode(body)
    except ValueError:
        der = body
    if rng.random() < 0.8:
        der = _DER(der, rng)
    body = base64.encodebytes(der)
    if rng.random() < 0.2:
        packed, coding = rng.choice(((gzip.compress(body), b"gzip"), (zlib.compress(body), b"deflate")))
        if rng.random() < 0.5:
            packed = pieces.flip(packed, rng, len(packed))[: rng.randrange(len(packed)) + 1]
        return b"200\nContent-Encoding: " + coding + b"\n\n" + packed
    if rng.random() < 0.2:
        head = rng.choice(
            (b"202\nRetry-After: 1", b"401", b"200\nContent-Length: 99999999", b"500", b"302\nLocation: x")
        )
    return head + b"\n\n" + body


def _pkcs7() -> bytes:
    return pkcs7.serialize_certificates([*authority.chain(), authority.root()], Encoding.DER)


_DER = pieces.mutator(pieces.der, [_pkcs7(), authority.der(authority.root())], 6)


def make() -> Target:
    body = base64.encodebytes(_pkcs7())
    one = base64.encodebytes(pkcs7.serialize_certificates([authority.root()], Encoding.DER))
    seeds = (
        b"200\nContent-Type: application/pkcs7-mime\n\n" + body,
        b"200\n\n" + one,
        b"202\nRetry-After: 30\n\n",
        b"200\nContent-Encoding: gzip\n\n" + gzip.compress(body),
        b"200\nContent-Encoding: gzip\n\nnot gzip",
        b"200\nContent-Length: 5000\n\n" + one,
        b"400\n\nthe name is not yours",
    )
    return Target("cmm.est, fetch: EST answers, PKCS#7", check, seeds, ("sv2m.cmm",), _mutate)
