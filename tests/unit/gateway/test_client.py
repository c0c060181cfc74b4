# SPDX-License-Identifier: Apache-2.0
"""Whom the client believes to be the peer, and how it takes each answer."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from sv2m import errors, protocol
from sv2m.gateway import tls
from sv2m.gateway.app import PATH
from sv2m.gateway.client import Answer, PeerClient
from tests.unit.cmm.authority import Certified, root
from tests.unit.gateway.tls import Authority, Script, serving

DOCUMENT = b"<Offer/>"
CLIENT = PeerClient(timeout=10)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("tls.sv2m")


@pytest.fixture
def peer(authority: Authority, tmp_path: Path) -> Iterator[Script]:
    with serving(authority.server("127.0.0.1", tmp_path)) as script:
        yield script


def explain(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "remedy": "", "fault": "peer"}}).encode()


def test_the_document_is_posted_byte_for_byte_to_the_one_path(peer: Script, authority: Authority) -> None:
    CLIENT.send(peer.url + "/", authority.pem, DOCUMENT)
    ((path, headers, body),) = peer.asked
    assert (path, body) == (PATH, DOCUMENT)
    assert headers["Content-Type"] == "application/xml"


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b"<signed/>", Answer(True, b"<signed/>")),
        (202, b"", Answer(False, None)),
        (204, b"", Answer(True, None)),
    ],
)
def test_answers_are_taken(peer: Script, authority: Authority, status: int, body: bytes, answer: Answer) -> None:
    peer.status, peer.body = status, body
    assert CLIENT.send(peer.url, authority.pem, DOCUMENT) == answer


def test_a_server_of_another_ca_is_not_the_peer(peer: Script) -> None:
    with pytest.raises(errors.PeerUnreachable) as raised:
        CLIENT.send(peer.url, Authority("tls.sv2m").pem, DOCUMENT)
    assert raised.value.code == "peer-tls"
    assert "with another key" in raised.value.message
    assert not peer.asked


def test_a_certificate_for_another_address_is_not_the_peers(authority: Authority, tmp_path: Path) -> None:
    with serving(authority.server("192.0.2.1", tmp_path)) as script:
        with pytest.raises(errors.PeerUnreachable) as raised:
            CLIENT.send(script.url, authority.pem, DOCUMENT)
        assert raised.value.code == "peer-tls"
        assert "not for the address in the agreement's url" in raised.value.message
        assert not script.asked


def _served(one: Certified, directory: Path) -> Path:
    path = directory / "server.pem"
    path.write_bytes(one.key_pem + one.pem.encode())
    return path


HERE = {"names": [x509.IPAddress(ip_address("127.0.0.1"))], "use": {"digital_signature": True}}
#: Around the time of the test, which is no time of certificates for evidence.
TODAY = {"begins": datetime.now(UTC) - timedelta(days=1), "ends": datetime.now(UTC) + timedelta(days=1)}


def test_an_agreement_with_the_ca_between_alone(tmp_path: Path) -> None:
    """It vouches for the server, with every Python; the root, of which the server sends nothing, does not."""
    top = root("tls root")
    between = top.certify("tls between", ca=True, **TODAY)
    with serving(_served(between.certify("server", **HERE, **TODAY), tmp_path)) as script:
        CLIENT.send(script.url, between.pem, DOCUMENT)
        with pytest.raises(errors.PeerUnreachable, match="its own without those between"):
            CLIENT.send(script.url, top.pem, DOCUMENT)
        assert len(script.asked) == 1


def test_a_server_whose_certificate_has_ended(tmp_path: Path) -> None:
    top = root("tls root")
    over = {**TODAY, "ends": datetime.now(UTC) - timedelta(hours=1)}
    with serving(_served(top.certify("server", **HERE, **over), tmp_path)) as script:
        with pytest.raises(errors.PeerUnreachable, match="has ended") as raised:
            CLIENT.send(script.url, top.pem, DOCUMENT)
        assert raised.value.code == "peer-tls"


def test_certificates_are_asked_the_same_with_every_python(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(authority.pem)
    flags = tls.context(str(tmp_path / "ca.pem")).verify_flags
    assert ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN in flags
    assert ssl.VerifyFlags.VERIFY_X509_STRICT not in flags


def test_an_older_tls_is_refused(authority: Authority, tmp_path: Path) -> None:
    with serving(authority.server("127.0.0.1", tmp_path), ssl.TLSVersion.TLSv1_2) as script:
        with pytest.raises(errors.PeerUnreachable) as raised:
            CLIENT.send(script.url, authority.pem, DOCUMENT)
        assert raised.value.code == "peer-tls"


def test_the_environment_adds_no_ca_and_no_proxy(
    peer: Script, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(authority.pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(errors.PeerUnreachable) as raised:
        CLIENT.send(peer.url, Authority("other").pem, DOCUMENT)
    assert raised.value.code == "peer-tls"
    assert CLIENT.send(peer.url, authority.pem, DOCUMENT).done


def test_the_ca_leaves_no_file_behind(
    peer: Script, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "temporary"
    empty.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(empty))
    CLIENT.send(peer.url, authority.pem, DOCUMENT)
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(peer: Script, authority: Authority, status: int) -> None:
    peer.status, peer.headers = status, {"Location": peer.url + "/elsewhere"}
    with pytest.raises(errors.RefusedByPeer) as raised:
        CLIENT.send(peer.url, authority.pem, DOCUMENT)
    assert raised.value.code == f"http-{status}"
    assert len(peer.asked) == 1


def test_an_oversized_answer_is_cut_off(peer: Script, authority: Authority) -> None:
    peer.status, peer.body = 200, bytes(protocol.MAX_DOCUMENT + 1)
    with pytest.raises(errors.MalformedMessage, match="larger than any document"):
        CLIENT.send(peer.url, authority.pem, DOCUMENT)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_gateway_out_of_order_is_asked_again_later(peer: Script, authority: Authority, status: int) -> None:
    peer.status, peer.body = status, explain("service-unavailable", "try later")
    with pytest.raises(errors.PeerUnreachable, match="try later"):
        CLIENT.send(peer.url, authority.pem, DOCUMENT)


def test_a_busy_gateway_is_asked_again_later(peer: Script, authority: Authority) -> None:
    peer.status, peer.body = 429, explain("too-many-offers", "16 offers wait")
    with pytest.raises(errors.PeerUnreachable, match="16 offers wait") as raised:
        CLIENT.send(peer.url, authority.pem, DOCUMENT)
    assert raised.value.code == "peer-busy"


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refusal_carries_the_peers_code_and_words(peer: Script, authority: Authority, status: int) -> None:
    peer.status, peer.body = status, explain("no-agreement", "no agreement with cloud-a")
    with pytest.raises(errors.RefusedByPeer, match="no agreement with cloud-a") as raised:
        CLIENT.send(peer.url, authority.pem, DOCUMENT)
    assert raised.value.code == "no-agreement"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"error": 1}', b'{"error": {"code": "x"}}', b"\xff"])
def test_a_refusal_without_explanation_is_named_by_its_status(peer: Script, authority: Authority, body: bytes) -> None:
    peer.status, peer.body = 403, body
    with pytest.raises(errors.RefusedByPeer) as raised:
        CLIENT.send(peer.url, authority.pem, DOCUMENT)
    assert raised.value.code == "http-403"


def test_long_words_of_the_peer_are_cut(peer: Script, authority: Authority) -> None:
    peer.status, peer.body = 400, explain("c" * 5000, "m" * 50000)
    with pytest.raises(errors.RefusedByPeer) as raised:
        CLIENT.send(peer.url, authority.pem, DOCUMENT)
    assert raised.value.code == "http-400"
    assert len(raised.value.message) < 2000


def test_a_code_that_gives_orders_to_a_terminal_is_none(peer: Script, authority: Authority) -> None:
    peer.status, peer.body = 403, explain("\x1b[2J\r\nERROR all is well", "no\x1b[2J\r\nagreement")
    with pytest.raises(errors.RefusedByPeer, match="no") as raised:
        CLIENT.send(peer.url, authority.pem, DOCUMENT)
    assert raised.value.code == "http-403"
    assert raised.value.message.isprintable()


def test_nobody_there_is_unreachable(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(errors.PeerUnreachable) as raised:
        CLIENT.send(f"https://127.0.0.1:{port}", authority.pem, DOCUMENT)
    assert raised.value.code == "peer-unreachable"


def test_a_peer_that_says_nothing_is_unreachable(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(errors.PeerUnreachable):
        PeerClient(timeout=0.2).send(f"https://127.0.0.1:{silent.getsockname()[1]}", authority.pem, DOCUMENT)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://x", "file:///etc/passwd", ""])
def test_nothing_but_https_is_spoken(url: str, authority: Authority) -> None:
    with pytest.raises(errors.ConfigurationError):
        CLIENT.send(url, authority.pem, DOCUMENT)
