# SPDX-License-Identifier: Apache-2.0
"""Timestamps whose signature is good, and that are none to openssl, or would be none in some years."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sv2m import errors
from sv2m.evidence import der, timestamps, token
from tests.unit.evidence import clocks
from tests.unit.evidence.clocks import AtAnotherTime
from tests.unit.evidence.court import Court

_OPENSSL = clocks._openssl


def stamp(court: Court, change: Callable[[list[str]], list[str]] = list) -> timestamps.Stamp:
    """An answer, signed as openssl signs one with changed arguments."""
    with mock.patch.object(clocks, "_openssl", lambda *given: _OPENSSL(*change([str(one) for one in given]))):
        return AtAnotherTime(court.authority, timedelta()).stamp(b"words")[1]


def instead(old: str, *new: str) -> Callable[[list[str]], list[str]]:
    return lambda given: [one for word in given for one in (new if word == old else (word,))]


def test_the_same_answer_is_taken_when_nothing_is_changed(court: Court) -> None:
    assert stamp(court).certificates


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (instead("-cades"), "does not name its certificate"),
        (instead("-cades", "-noattr"), "no signed attributes"),
        (instead("sha384", "sha1"), "weaker digest"),
        (instead(clocks._TST_INFO, "1.2.840.113549.1.7.1"), ""),
    ],
    ids=["no ESSCertID", "no attributes", "SHA-1", "another content"],
)
def test_a_token_that_is_signed_otherwise(court: Court, change: Callable[[list[str]], list[str]], why: str) -> None:
    with pytest.raises(errors.HostError, match=why) as raised:
        stamp(court, change)
    assert raised.value.code == "timestamp-refused"


def changing(old: bytes, new: bytes) -> Callable[[list[str]], list[str]]:
    """Another TSTInfo, of the same length, before it is signed."""

    def change(given: list[str]) -> list[str]:
        if "-sign" in given:
            info = Path(given[given.index("-in") + 1])
            assert old in info.read_bytes()
            info.write_bytes(info.read_bytes().replace(old, new, 1))
        return given

    return change


def test_another_version_of_tstinfo(court: Court) -> None:
    with pytest.raises(errors.HostError, match="version 1"):
        stamp(court, changing(b"\x02\x01\x01\x06", b"\x02\x01\x02\x06"))


def test_a_critical_extension(court: Court) -> None:
    """What narrows the meaning of a timestamp must not be passed over."""

    def change(given: list[str]) -> list[str]:
        if "-sign" in given:
            info = Path(given[given.index("-in") + 1])
            (whole,) = der.values(info.read_bytes())
            extension = bytes.fromhex("a10d300b06032a03040101ff040100")
            content = whole.content + extension
            info.write_bytes(b"\x30\x81" + bytes([len(content)]) + content)
        return given

    with pytest.raises(errors.HostError, match="critical extension"):
        stamp(court, change)


@pytest.mark.parametrize(
    ("key", "taken"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), False),
        (lambda: rsa.generate_private_key(65537, 2048), False),
        (lambda: ec.generate_private_key(ec.SECP224R1()), False),
        (lambda: ec.generate_private_key(ec.SECP256R1()), True),
        (lambda: rsa.generate_private_key(65537, 3072), True),
    ],
    ids=["RSA-1024", "RSA-2048", "P-224", "P-256", "RSA-3072"],
)
def test_the_strength_of_the_authoritys_key(court: Court, tmp_path: Path, key: Callable[[], Any], taken: bool) -> None:
    own, made = court.authority.timestamps._own, key()
    (tmp_path / "tsa.key").write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "tsa.pem").write_bytes(certified(court, made.public_key()).public_bytes(Encoding.PEM))

    def change(given: list[str]) -> list[str]:
        return [one.replace(str(own), str(tmp_path)) if "-sign" in given else one for one in given]

    if taken:
        assert stamp(court, change)
        return
    with pytest.raises(errors.HostError):
        stamp(court, change)


def test_anything_in_the_place_of_a_token_is_refused(court: Court) -> None:
    """Cut, repeated and changed bytes: an error that says so, and never another."""
    response = court.tsa.stamp(b"words")[0]
    found = timestamps.verify(response, b"words", court.roots)
    rng = random.Random(1)
    for _ in range(2000):
        at, size = rng.randrange(len(response)), rng.randrange(1, 40)
        changed = rng.choice(
            (
                response[:at] + response[at + size :],
                response[: at + size] + response[at:],
                response[:at] + bytes([rng.randrange(256)]) + response[at + 1 :],
            )
        )
        try:
            token.check(changed, found.certificates)
        except (ValueError, IndexError):
            continue


def certified(court: Court, key: Any) -> x509.Certificate:
    """A certificate for timestamps of the court's CA, as that of its own authority but for the key."""
    own = x509.load_pem_x509_certificate((court.authority.timestamps._own / "tsa.pem").read_bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(own.subject)
        .issuer_name(own.issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_after_utc)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    for one in own.extensions:
        if not isinstance(one.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(one.value, critical=one.critical)
    return builder.sign(court.authority._key(), hashes.SHA384())
