# SPDX-License-Identifier: Apache-2.0
import base64
import http.client
import threading
from http.server import ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from lab import pki
from lab.cloud import Lab
from lab.ttp.authority import Authority
from lab.ttp.service import CrlHandler, Handler

NAME = "cloud-a.sv2m"
ENROL = "/.well-known/est/simpleenroll"


@pytest.fixture
def authority(tmp_path):
    made = Authority(Lab(tmp_path))
    made.create()
    return made


@pytest.fixture(params=[Handler])
def ask(request, authority):
    """Send one request to the service; the handler under TLS is the same as without."""
    own = {"authority": authority, "passwords": {NAME: "right", "cloud-b.sv2m": "other"}}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (request.param,), own))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def send(method, path, body=None, user=None):
        connection = http.client.HTTPConnection(*server.server_address, timeout=30)
        headers = {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"} if user else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    yield send
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def key():
    return ec.generate_private_key(ec.SECP384R1())


@pytest.fixture
def csr(key):
    made = x509.CertificateSigningRequestBuilder().subject_name(pki.name(NAME)).sign(key, hashes.SHA384())
    return base64.encodebytes(made.public_bytes(Encoding.DER))


def certificates(body):
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))


def test_anybody_gets_the_anchor(ask, authority):
    status, body = ask("GET", "/.well-known/est/cacerts")
    assert status == 200
    assert certificates(body) == [authority.certificate]


def test_a_cloud_with_its_password_gets_a_certificate_for_its_key(ask, authority, csr, key):
    status, body = ask("POST", ENROL, csr, f"{NAME}:right")
    assert status == 200
    [certificate] = certificates(body)
    assert certificate.public_key() == key.public_key()
    assert authority.issued() == [certificate]


@pytest.mark.parametrize("user", [None, f"{NAME}:wrong", f"{NAME}:other", "nobody:right", "no colon"])
def test_who_cannot_say_who_he_is_gets_nothing(ask, authority, csr, user):
    status, _ = ask("POST", ENROL, csr, user)
    assert status == 401
    assert authority.issued() == []


@pytest.mark.parametrize("body", [b"%%%", base64.b64encode(b"not a request"), b"A" * 20000])
def test_what_is_no_request_is_refused(ask, authority, body):
    status, _ = ask("POST", ENROL, body, f"{NAME}:right")
    assert status in (400, 413)
    assert authority.issued() == []


def test_a_cloud_cannot_enrol_under_the_name_of_another(ask, authority, csr):
    status, body = ask("POST", ENROL, csr, "cloud-b.sv2m:other")
    assert status == 400
    assert b"its sender is cloud-b.sv2m" in body
    assert authority.issued() == []


@pytest.mark.parametrize("ask", [CrlHandler], indirect=True)
def test_without_tls_there_is_the_list_and_nothing_else(ask, authority, csr):
    status, body = ask("GET", "/crl.der")
    assert status == 200
    assert x509.load_der_x509_crl(body).is_signature_valid(authority.certificate.public_key())
    assert ask("GET", "/.well-known/est/cacerts")[0] == 404
    assert ask("POST", ENROL, csr, f"{NAME}:right")[0] == 405
    assert authority.issued() == []
