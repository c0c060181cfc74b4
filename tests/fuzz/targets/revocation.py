# SPDX-License-Identifier: Apache-2.0
"""Revocation lists: a list that nobody signed revokes nothing and acquits nobody."""

from __future__ import annotations

from cryptography import x509

from sv2m import errors
from sv2m.cmm.revocation import RevocationLists
from tests.fuzz import pieces
from tests.fuzz.target import Target, promise
from tests.fuzz.targets import authority

_LISTS = {
    "good": authority.crl("middle", 1002),
    "other serial": authority.crl("middle", 1002, 7),
    "revoked": authority.crl("middle", 1002, 1003),
    "other issuer": authority.crl("root", 1001),
    "other key": authority.crl("middle", 2002),
}
_ACQUITS = {x509.load_der_x509_crl(_LISTS[name]).tbs_certlist_bytes for name in ("good", "other serial")}
_REVOKES = {x509.load_der_x509_crl(_LISTS["revoked"]).tbs_certlist_bytes}


def check(data: bytes) -> None:
    lists = RevocationLists(lambda url, limit: data, [authority.CRL_URL], [], 60)
    try:
        lists.check(authority.chain(), authority.NOW)
        promise(_signed(data) in _ACQUITS, "a list that nobody signed acquits")
    except errors.InvalidCertificate:
        promise(_signed(data) in _REVOKES, "a list that nobody signed revokes")
    except errors.HostError as error:
        promise(error.code == "revocation-unknown", f"unexpected code {error.code}")


def _signed(data: bytes) -> bytes:
    pem = data.lstrip().startswith(b"-----BEGIN")
    return (x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)).tbs_certlist_bytes


def make() -> Target:
    seeds = tuple(_LISTS.values())
    return Target(
        "cmm.revocation: revocation lists",
        check,
        seeds,
        ("sv2m.cmm", "sv2m.evidence"),
        pieces.mutator(pieces.der, seeds, 6),
        max_bytes=4 << 10,
    )
