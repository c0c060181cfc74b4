# SPDX-License-Identifier: Apache-2.0
"""What went wrong in others' XML signatures, played against an engine that waits for A's next word.

Each forgery says what A never said: that it has released the server, or has taken it back.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_der_x509_certificate
from lxml import etree

from sv2m import errors
from sv2m import protocol as p
from tests.attacks.cloud_b import CloudB
from tests.attacks.federation import A, certified
from tests.protocol.certificates import make
from tests.protocol.test_signature_attacks import DS, SV2M, _signer, canonical, one_line


def forgery(good: etree._Element) -> etree._Element:
    """The Release, changed: it was given an hour earlier than A gave it."""
    evil = copy.deepcopy(good)
    at = evil.find(f"{SV2M}ReleasedAt")
    assert at is not None
    at.text = "2026-01-01T00:00:00Z"
    return evil


def _digest_of(evil: etree._Element) -> str:
    bare = copy.deepcopy(evil)
    bare.remove(bare.find(f"{DS}Signature"))
    return base64.b64encode(hashlib.sha384(canonical(bare)).digest()).decode()


def cve_2024_45409(good: etree._Element) -> etree._Element:
    """ruby-saml looked for DigestValue by ``//``: it found the attacker's, which stood before the signed one."""
    evil = forgery(good)
    smuggled = etree.Element(f"{DS}DigestValue", nsmap={"ds": DS[1:-1]})
    smuggled.text = _digest_of(evil)
    evil.insert(0, smuggled)
    return evil


def cve_2024_45409_in_the_signature(good: etree._Element) -> etree._Element:
    evil = forgery(good)
    reference = evil.find(f".//{DS}Reference")
    smuggled = etree.Element(f"{DS}DigestValue", nsmap={"ds": DS[1:-1]})
    smuggled.text = _digest_of(evil)
    reference.insert(0, smuggled)
    return evil


def cve_2025_66567(good: etree._Element) -> etree._Element:
    """ruby-saml again: two parsers, two readings. One sees A's signature, the other another one by another prefix."""
    evil = forgery(good)
    signature = evil.find(f"{DS}Signature")
    text = etree.tostring(signature, method="c14n", exclusive=True).replace(b"ds:", b"x:").replace(b":ds=", b":x=")
    evil.insert(0, etree.fromstring(text))
    return evil


def cve_2021_21239(good: etree._Element) -> etree._Element:
    """pysaml2 believed whichever key came along: a stranger's, as KeyValue."""
    evil = forgery(good)
    evil.remove(evil.find(f"{DS}Signature"))
    stranger = load_pem_private_key(make(A).key, None)
    return _signer().sign(evil, key=stranger)


def cve_2025_48994(good: etree._Element) -> etree._Element:
    """signxml took an HMAC where a certificate was meant; everybody has the certificate's key."""
    evil = forgery(good)
    info = evil.find(f"{DS}Signature/{DS}SignedInfo")
    info.find(f"{DS}SignatureMethod").set("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha384")
    info.find(f"{DS}Reference/{DS}DigestValue").text = _digest_of(evil)
    public = load_der_x509_certificate(certified(A).der).public_key()
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    value = hmac.digest(secret, canonical(info), "sha384")
    evil.find(f"{DS}Signature/{DS}SignatureValue").text = base64.b64encode(value).decode()
    return evil


CASES = [cve_2024_45409, cve_2024_45409_in_the_signature, cve_2025_66567, cve_2021_21239, cve_2025_48994]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_known_case(b: CloudB, case: Callable[[etree._Element], etree._Element]) -> None:
    b.source.run("Transfer")
    good = b.source.make("Release")
    forged = canonical(case(etree.fromstring(good)))
    if case is cve_2021_21239:
        forged = one_line(forged)
    assert p.peek(forged).kind == "Release"
    error = b.refusal(forged)
    assert isinstance(error, (errors.InvalidSignature, errors.MalformedMessage))
    assert (b.phase, b.agent.runs) == ("prepared", 0)
    b.source.say("Release")
    b.carry_on()
    assert b.agent.runs == 1
