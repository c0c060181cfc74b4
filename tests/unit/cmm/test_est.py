# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator

import pytest
import requests
import requests_mock
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from sv2m import errors
from sv2m.cmm import request
from sv2m.cmm.est import MAX_ANSWER, EstClient
from tests.unit.cmm.authority import CLOUD, Certified, root

URL = "https://ca.test/.well-known/est"


@pytest.fixture
def http() -> Iterator[requests_mock.Mocker]:
    with requests_mock.Mocker() as http:
        yield http


@pytest.fixture
def est() -> EstClient:
    return EstClient(URL + "/", CLOUD, "pass-word", "/nonexistent/ca.pem", 5)


def answer(*certified: Certified) -> bytes:
    der = pkcs7.serialize_certificates([one.certificate for one in certified], Encoding.DER)
    return base64.encodebytes(der)


def test_enrolling_sends_the_request_in_base64_with_name_and_password(
    http: requests_mock.Mocker, est: EstClient
) -> None:
    ca = root()
    leaf = ca.certify(CLOUD)
    _, csr = request.make(CLOUD)
    asked = http.post(f"{URL}/simpleenroll", content=answer(leaf))
    assert est.simpleenroll(request.der(csr)).certificates == [leaf.certificate]
    sent = asked.last_request
    assert base64.b64decode(sent.body) == request.der(csr)
    assert sent.headers["Content-Type"] == "application/pkcs10"
    assert base64.b64decode(sent.headers["Authorization"].split()[1]) == b"cloud-a.sv2m:pass-word"
    assert sent.verify == "/nonexistent/ca.pem"


def test_reenrolling_and_the_cas_own_certificates(http: requests_mock.Mocker, est: EstClient) -> None:
    ca = root()
    http.post(f"{URL}/simplereenroll", content=answer(ca.certify(CLOUD), ca))
    http.get(f"{URL}/cacerts", content=answer(ca))
    assert len(est.simplereenroll(b"csr").certificates) == 2
    assert est.cacerts().certificates == [ca.certificate]


REFUSALS = [
    ({"status_code": 401}, errors.ConfigurationError, "est_password"),
    ({"status_code": 202, "headers": {"Retry-After": "60"}}, errors.HostError, "again in 60 s"),
    ({"status_code": 400, "text": "not P-384"}, errors.HostError, r"HTTP 400\): not P-384"),
    ({"status_code": 302, "headers": {"Location": "https://evil.test/"}}, errors.HostError, "HTTP 302"),
    ({"text": "<html>"}, errors.HostError, "not a certs-only PKCS#7"),
    ({"content": base64.b64encode(b"hello")}, errors.HostError, "not a certs-only PKCS#7"),
    ({"content": b"A" * (MAX_ANSWER + 1)}, errors.HostError, "larger than"),
    ({"exc": requests.exceptions.ConnectTimeout}, errors.ServiceUnavailable, "does not answer"),
    (
        {"exc": requests.exceptions.SSLError(ssl.SSLError("self-signed"))},
        errors.ConfigurationError,
        "est_cafile",
    ),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_what_an_operator_reads_when_the_ca_does_not_certify(
    http: requests_mock.Mocker, est: EstClient, number: int
) -> None:
    reply, kind, why = REFUSALS[number]
    http.post(f"{URL}/simpleenroll", **reply)
    with pytest.raises(kind, match=why) as caught:
        est.simpleenroll(b"csr")
    assert "pass-word" not in str(caught.value)
