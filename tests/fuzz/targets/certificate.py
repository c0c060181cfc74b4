# SPDX-License-Identifier: Apache-2.0
"""A peer's certificate chain: whatever comes, only what the agreement's CA has signed is believed."""

from __future__ import annotations

import contextlib

from cryptography import x509

from sv2m import errors
from sv2m.evidence import path
from sv2m.protocol import signing_key
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import authority

_SIGNED = {one.tbs_certificate_bytes for one in authority.chain()}


def check(data: bytes) -> None:
    """Certificates stand one behind the other, each with its length (three bytes) before it."""
    parts = _parts(data)
    with contextlib.suppress(errors.InvalidCertificate):
        signing_key.load_certificate(parts[0] if parts else b"")
    try:
        chain = path.load_chain(parts)
        found = path.validate(chain, authority.CLOUD, [authority.root()], authority.NOW)
    except errors.InvalidCertificate:
        return
    promise(found[-1] == authority.root(), "the path does not end at the agreement's CA")
    promise(all(one.tbs_certificate_bytes in _SIGNED for one in found[:-1]), "nobody signed this certificate")
    promise(_names(found[0]) == [authority.CLOUD], "it is for another cloud")


def _names(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def _parts(data: bytes) -> list[bytes]:
    found, place = [], 0
    while place + 3 <= len(data) and len(found) < 8:
        length = int.from_bytes(data[place : place + 3], "big")
        found.append(data[place + 3 : place + 3 + length])
        place += 3 + length
    return found


def _join(certificates: list[x509.Certificate]) -> bytes:
    return b"".join(len(der).to_bytes(3, "big") + der for der in map(authority.der, certificates))


def make() -> Target:
    ours, theirs = authority.chain(), authority.stranger()
    seeds = (_join(ours), _join(theirs), _join(ours[:1]), _join([theirs[0], ours[1]]), _join([ours[1], ours[0]]))

    def split(data: bytes) -> list[bytes]:
        found = []
        for der in _parts(data):
            found += [len(der).to_bytes(3, "big"), *pieces.der(der)]
        return found

    return Target(
        "evidence.path: certificate chains",
        check,
        seeds,
        ("sv2m.cmm", "sv2m.evidence"),
        pieces.mutator(split, seeds, 6),
        max_bytes=8 << 10,
    )
