# SPDX-License-Identifier: Apache-2.0
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from lab import pki
from lab.cloud import Lab
from lab.ttp.authority import Authority, Profile, RefusedError

NAME = "cloud-a.sv2m"


@pytest.fixture
def authority(tmp_path):
    made = Authority(Lab(tmp_path))
    made.create()
    return made


def request(name=NAME, curve=None):
    key = ec.generate_private_key(curve or ec.SECP384R1())
    return x509.CertificateSigningRequestBuilder().subject_name(pki.name(name)).sign(key, hashes.SHA384())


def test_an_evidence_certificate_has_the_uses_that_evidence_takes(authority):
    certificate = authority.certify(request(), NAME)
    certificate.verify_directly_issued_by(authority.certificate)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert usage.value.content_commitment
    assert not usage.value.key_cert_sign
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize(
    "wrong",
    [request("cloud-b.sv2m"), request(curve=ec.SECP256R1())],
    ids=["other cloud's name", "weaker key"],
)
def test_what_is_not_the_senders_own_evidence_key_is_refused(authority, wrong):
    with pytest.raises(RefusedError):
        authority.certify(wrong, NAME)
    assert authority.issued() == []


def test_a_revoked_certificate_is_on_a_signed_list_that_never_gets_older(authority):
    kept, lost = authority.certify(request(), NAME), authority.certify(request(), NAME)
    before = x509.load_der_x509_crl(authority.crl())
    authority.revoke(lost.serial_number)
    after = x509.load_der_x509_crl(authority.crl())
    assert after.is_signature_valid(authority.certificate.public_key())
    assert before.get_revoked_certificate_by_serial_number(lost.serial_number) is None
    assert after.get_revoked_certificate_by_serial_number(lost.serial_number) is not None
    assert after.get_revoked_certificate_by_serial_number(kept.serial_number) is None
    number = [
        crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in (before, after)
    ]
    assert number[0] < number[1]


def test_a_serial_number_it_never_issued_cannot_be_revoked(authority):
    with pytest.raises(RefusedError):
        authority.revoke(4711)
    assert authority.revoked() == {}


def test_an_expired_certificate_for_tests_really_is(authority):
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    certificate = authority.issue(key, NAME, Profile(first_day=-90, last_day=-1))
    assert certificate.not_valid_before_utc < certificate.not_valid_after_utc
    assert certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC)
    certificate.verify_directly_issued_by(authority.certificate)
