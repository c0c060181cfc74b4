# SPDX-License-Identifier: Apache-2.0
"""Certificates that a hostile peer might send."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from sv2m import errors
from sv2m.evidence import path
from tests.unit.cmm.authority import AUTHORITY, CLOUD, EVIDENCE, NOW, Certified, root

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def ca() -> Certified:
    return root()


def check(ca: Certified, *chain: Certified, name: str = CLOUD) -> list[x509.Certificate]:
    loaded = path.load_chain([one.der for one in chain])
    return path.validate(loaded, name, [ca.certificate], NOW)


def test_an_evidence_certificate_of_the_agreed_ca(ca: Certified) -> None:
    leaf = ca.certify(CLOUD)
    assert check(ca, leaf) == [leaf.certificate, ca.certificate]


def test_one_and_two_cas_between_in_any_order(ca: Certified) -> None:
    first = ca.certify("first", ca=True)
    second = first.certify("second", ca=True, path_length=0)
    leaf = second.certify(CLOUD)
    assert len(check(ca, leaf, first, second)) == 4
    assert len(check(first, leaf, second)) == 3


def test_rsa_and_document_signing_are_fine(ca: Certified) -> None:
    check(ca, ca.certify(CLOUD, key=rsa.generate_private_key(65537, 3072)))
    check(ca, ca.certify(CLOUD, extended=[path.DOCUMENT_SIGNING]))


BAD = {
    "expired": ({"ends": NOW - DAY}, r"ended on 2026-05-31 12:00 UTC"),
    "not yet valid": ({"begins": NOW + DAY}, r"begins on 2026-06-02"),
    "another cloud's": ({"names": [x509.DNSName("cloud-b.sv2m")]}, "is not for cloud-a.sv2m"),
    "for two clouds": (
        {"names": [x509.DNSName(CLOUD), x509.DNSName("cloud-b.sv2m")]},
        "is not for cloud-a.sv2m",
    ),
    "for all clouds": ({"names": [x509.DNSName("*.sv2m")]}, "is not for cloud-a.sv2m"),
    "of another kind of name": ({"names": [x509.RFC822Name("a@sv2m.example")]}, "is not for cloud-a.sv2m"),
    "for TLS": ({"use": {"digital_signature": True, "key_agreement": True}}, "not for evidence"),
    "for no use": ({"use": {"content_commitment": True}}, "not for evidence"),
    "for signing certificates": ({"use": {**EVIDENCE, "key_cert_sign": True}}, "not for evidence"),
    "for servers": ({"extended": [ExtendedKeyUsageOID.SERVER_AUTH]}, "not for evidence"),
    "a CA's": ({"ca": True, "use": EVIDENCE, "names": [x509.DNSName(CLOUD)]}, "CA's own"),
    "with a critical unknown": (
        {"extra": x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")},
        "critical",
    ),
    "on another curve": ({"key": ec.generate_private_key(ec.SECP256R1())}, "ECDSA P-384"),
    "with a short key": ({"key": rsa.generate_private_key(65537, 2048)}, "RSA of at least 3072"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_leaf_that_is_wrong(ca: Certified, case: str) -> None:
    changes, why = BAD[case]
    with pytest.raises(errors.InvalidCertificate, match=why):
        check(ca, ca.certify(CLOUD, **changes))


def test_without_a_name_or_use_extension(ca: Certified) -> None:
    for changes in ({"names": []}, {"use": {}}):
        with pytest.raises(errors.InvalidCertificate):
            check(ca, ca.certify(CLOUD, **changes))


def test_self_signed(ca: Certified) -> None:
    itself = root(CLOUD)
    leaf = itself.certify(CLOUD)
    for chain in ((leaf,), (leaf, itself)):
        with pytest.raises(errors.InvalidCertificate, match="does not lead to a CA that is trusted"):
            check(ca, *chain)


def test_a_ca_of_the_same_name_but_not_the_same_key(ca: Certified) -> None:
    with pytest.raises(errors.InvalidCertificate, match="does not lead"):
        check(ca, root("trusted third party").certify(CLOUD))


def test_a_cloud_that_plays_ca(ca: Certified) -> None:
    # Another peer of the same CA signs a certificate in our peer's name.
    with pytest.raises(errors.InvalidCertificate):
        leaf = ca.certify("cloud-x.sv2m")
        check(ca, leaf.certify(CLOUD), leaf)


def test_an_intermediate_that_is_wrong(ca: Certified) -> None:
    for changes in (
        {"ends": NOW - DAY},
        {"use": {"digital_signature": True}},
        {"ca": False, "use": AUTHORITY, "names": []},
    ):
        between = ca.certify("between", **{"ca": True, **changes})
        with pytest.raises(errors.InvalidCertificate):
            check(ca, between.certify(CLOUD), between)


def test_a_path_longer_than_a_ca_allows(ca: Certified) -> None:
    first = ca.certify("first", ca=True, path_length=0)
    second = first.certify("second", ca=True)
    with pytest.raises(errors.InvalidCertificate):
        check(ca, second.certify(CLOUD), first, second)


def test_a_certificate_between_that_is_missing(ca: Certified) -> None:
    with pytest.raises(errors.InvalidCertificate):
        check(ca, ca.certify("between", ca=True).certify(CLOUD))


def test_what_is_no_chain(ca: Certified) -> None:
    leaf = ca.certify(CLOUD).der
    for chain in ([], [leaf] * 4, [b"x" * 17000], [b"hello"], [leaf[:-1]]):
        with pytest.raises(errors.InvalidCertificate):
            path.load_chain(chain)


@pytest.mark.parametrize("ca_pem", ["", "hello"])
def test_an_agreement_without_a_ca_trusts_nobody(ca_pem: str) -> None:
    with pytest.raises(errors.ConfigurationError):
        path.load_anchors(ca_pem)


def test_only_cas_are_anchors(ca: Certified) -> None:
    """A file with the chain above the root, as many a CA hands it out."""
    leaf = ca.certify(CLOUD)
    with pytest.raises(errors.ConfigurationError, match=f"{leaf.certificate.serial_number:x}.*not a CA's") as error:
        path.load_anchors(ca.pem + leaf.pem)
    assert "--tls-ca-file" in error.value.remedy
    between = ca.certify("between", ca=True)
    assert path.load_anchors(ca.pem + between.pem) == [ca.certificate, between.certificate]


def test_a_path_of_one_certificate_is_none(ca: Certified) -> None:
    """Of what is trusted by itself no list is asked: a revoked certificate would be good."""
    leaf = ca.certify(CLOUD)
    with pytest.raises(errors.InvalidCertificate):
        path.validate([leaf.certificate], CLOUD, [ca.certificate, leaf.certificate], NOW)


@pytest.mark.parametrize(("ahead", "good"), [(0, True), (4 * 60 + 59, True), (5 * 60 + 1, False)])
def test_a_certificate_that_begins_in_a_moment(ca: Certified, ahead: int, good: bool) -> None:
    """The clock of the CA, or of the cloud that renewed its own just now, is ahead of ours."""
    begins = NOW + timedelta(seconds=ahead)
    between = ca.certify("between", ca=True, begins=begins)
    for chain in ((ca.certify(CLOUD, begins=begins),), (between.certify(CLOUD, begins=begins), between)):
        if good:
            check(ca, *chain)
        else:
            with pytest.raises(errors.InvalidCertificate):
                check(ca, *chain)


def test_one_that_has_ended_is_over_at_once(ca: Certified) -> None:
    with pytest.raises(errors.InvalidCertificate, match="ended on"):
        check(ca, ca.certify(CLOUD, ends=NOW - timedelta(seconds=1)))


def test_the_way_up_is_found_without_judging(ca: Certified) -> None:
    first = ca.certify("first", ca=True, ends=NOW - DAY)
    second = first.certify("second", ca=True)
    leaf = second.certify("anybody", ends=NOW - 2 * DAY)
    chain = [one.certificate for one in (leaf, first, second)]
    whole = [one.certificate for one in (leaf, second, first, ca)]
    assert path.lead(chain, [ca.certificate]) == whole
    assert path.lead(chain, []) == whole[:-1]
    assert path.lead(chain[:1], [ca.certificate]) == whole[:1]
    assert path.first_to_end(whole) == leaf.certificate
    assert path.first_to_end(whole[1:]) == first.certificate
