# SPDX-License-Identifier: Apache-2.0
"""One test for each mistake that fuzzing found."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors
from sv2m.agent.libvirt.domain import aliases, facts
from sv2m.api import schemas
from sv2m.api.schemas import migrations as migration_schemas
from sv2m.api.schemas import peers as peer_schemas
from sv2m.cmm import request
from sv2m.cmm.est import EstClient
from sv2m.cmm.fetch import HttpFetch
from sv2m.cmm.revocation import RevocationLists
from sv2m.engine.authority import TimestampAuthority
from sv2m.evidence import path
from sv2m.evidence.folder import Folder
from sv2m.gateway.client import PeerClient
from tests.fuzz.targets import answers, authority, listing
from tests.unit.agent.domains import XML
from tests.unit.api.conftest import API, CA, SERVER, api
from tests.unit.gateway.test_app import Conductor, call
from tests.unit.gateway.test_app import Gateway as Application

__all__ = ["api"]

_VERSION = b"\xa0\x03\x02\x01\x02"


def _leaf(old: bytes, new: bytes) -> bytes:
    der = authority.der(authority.chain()[0])
    assert old in der and len(old) == len(new)
    return der.replace(old, new)


_CURVE = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
_BROKEN_LEAVES = {
    "version": _leaf(_VERSION, b"\xa0\x03\x02\x01\x12"),
    "kind of key": _leaf(_CURVE, b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x09"),
    "point that is none": _leaf(b"\x03\x62\x00\x04", b"\x03\x62\x00\x07"),
    "name of a wrong type": _leaf(b"\x0c\x0ccloud-a.sv2m", b"\x03\x0ccloud-a.sv2m"),
    "name that is none": _leaf(b"\x0c\x0ccloud-a.sv2m", b"\x0c\x0cclou\xff-a.sv2m"),
}


@pytest.mark.parametrize("der", _BROKEN_LEAVES.values(), ids=_BROKEN_LEAVES)
def test_a_peers_malformed_certificate_is_the_peers_fault(der: bytes) -> None:
    with pytest.raises(errors.InvalidCertificate):
        path.validate(path.load_chain([der]), authority.CLOUD, [authority.root()], authority.NOW)


def test_an_agreements_ca_of_an_unknown_version_is_a_mistake_of_the_operator() -> None:
    der = authority.der(authority.root()).replace(_VERSION, b"\xa0\x03\x02\x01\x12")
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"
    with pytest.raises(errors.ConfigurationError):
        path.load_anchors(pem)


def test_a_certificate_with_an_unknown_key_is_not_ours() -> None:
    _, csr = request.make(authority.CLOUD)
    assert not request.same_key(csr, x509.load_der_x509_certificate(_BROKEN_LEAVES["kind of key"]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x02\x01\x01\x30", b"\x02\x01\x07\x30"),
        (b"\x0c\x06middle", b"\x0c\x06mid\xffle"),
        (b"\x0c\x06middle", b"\x03\x06middle"),
    ],
    ids=["version", "name that is none", "name of a wrong type"],
)
def test_a_malformed_revocation_list_is_no_list(old: bytes, new: bytes) -> None:
    der = authority.crl("middle", 1002)
    assert old in der
    lists = RevocationLists(lambda url, limit: der.replace(old, new), [authority.CRL_URL], [], 60)
    with pytest.raises(errors.HostError) as raised:
        lists.check(authority.chain(), authority.NOW)
    assert raised.value.code == "revocation-unknown"


def test_a_list_that_nobody_signed_neither_replaces_a_good_one_nor_becomes_evidence() -> None:
    """Found while its target was written: lists come by plain HTTP."""
    served = {authority.CRL_URL: authority.crl("middle", 1002), "http://crl.test/root.crl": authority.crl("root", 1001)}
    good = set(served.values())
    moment = 0.0
    lists = RevocationLists(lambda url, limit: served[url], list(served), [], 60, clock=lambda: moment)
    trusted = [*authority.chain(), authority.root()]
    lists.check(trusted, authority.NOW)
    served.update(dict.fromkeys(served, authority.crl("middle", 2002)))
    moment = 61.0
    lists.check(trusted, authority.NOW)
    assert set(lists.all()) == good


_ANSWERS = {
    "not gzip": (200, {"Content-Encoding": "gzip"}, b"not gzip"),
    "cut": (200, {"Content-Length": "5000"}, b"short"),
    "redirection to bytes that are no text": (302, {"Location": "x\xf4\x41"}, b""),
}


@pytest.mark.parametrize("answer", _ANSWERS.values(), ids=_ANSWERS)
def test_broken_http_of_a_ca_is_an_outage(answer: answers.Parsed) -> None:
    with answers.answering(answer):
        with pytest.raises(errors.ServiceUnavailable):
            HttpFetch(5)("http://crl.test/ca.crl", 1000)
        with pytest.raises(errors.HostError):
            EstClient("https://ca.test", "cloud", "pass", None, 5).cacerts()


@pytest.mark.parametrize("answer", _ANSWERS.values(), ids=_ANSWERS)
def test_broken_http_of_a_timestamp_authority_is_an_outage(answer: answers.Parsed, tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_bytes(authority.root().public_bytes(Encoding.PEM))
    asked = TimestampAuthority("http://tsa.test", str(tmp_path / "roots.pem"), None, 5)
    with answers.answering(answer), pytest.raises(errors.HostError):
        asked.stamp(b"anything")


def test_a_file_without_a_name_is_the_fault_of_whoever_packed_it() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x", b"")
    nameless = bytearray(content.getvalue())
    entry = nameless.index(b"PK\x01\x02")
    # The one letter that was its name is a comment now (APPNOTE.TXT, 4.3.12).
    nameless[entry + 28], nameless[entry + 32] = 0, 1
    with pytest.raises(errors.PeerError, match="the fault of whoever made or changed"):
        Folder.unpack("other side's", bytes(nameless))


@pytest.mark.parametrize("answer", _ANSWERS.values(), ids=_ANSWERS)
def test_broken_http_of_a_peer_is_the_peers_fault(answer: answers.Parsed) -> None:
    ca = authority.root().public_bytes(Encoding.PEM).decode()
    with answers.answering(answer), pytest.raises(errors.PeerError):
        PeerClient(5).send("https://b", ca, b"<x/>")


def test_the_gateway_does_not_repeat_what_a_stranger_says() -> None:
    reply = call(Application(Conductor()), CONTENT_LENGTH="9" * 4000)
    assert reply.status == 400
    assert len(reply.body) < 500


@pytest.mark.parametrize(
    ("old", "new"),
    [("<vcpu placement='static'>2<", "<vcpu>two<"), ("unit='KiB'>131072", "unit='nibbles'>1"), ("</domain>", "")],
    ids=["vcpu", "unit", "cut"],
)
def test_xml_that_is_no_domains_is_an_error_of_the_hypervisor(old: str, new: str) -> None:
    xml = XML.replace(old, new)
    assert xml != XML
    with pytest.raises(errors.HypervisorError):
        facts(xml)


def test_xml_that_cannot_be_parsed_has_no_aliases() -> None:
    with pytest.raises(errors.HypervisorError):
        aliases("<domain>")


@pytest.mark.parametrize("target", ["/v1/peers/%ff", "/v1/peers?marker=%ff", "/%ff"])
def test_paths_and_queries_that_are_no_text_are_the_callers_mistake(api: API, target: str) -> None:
    shown = api("GET", target, persona="admin")
    assert shown.status_int in (400, 404)


@pytest.mark.parametrize(
    "body",
    [b'{"peer": {"url": "https://\\ud800"}}', b'{"peer": {"limits": {"vcpus": NaN}}}'],
    ids=["half a surrogate pair", "NaN"],
)
def test_what_is_no_json_is_the_callers_mistake(api: API, body: bytes) -> None:
    shown = api("PATCH", "/v1/peers/cloud-b.sv2m", body, persona="admin")
    assert (shown.status_int, shown.json["error"]["code"]) == (400, "invalid-request")


@pytest.mark.parametrize("field", ["ca_pem", "tls_ca_pem"])
def test_a_certificate_in_letters_that_pem_has_not_is_the_callers_mistake(api: API, field: str) -> None:
    wanted = {**_PEER, field: CA.replace("M", "é", 1)}
    shown = api("POST", "/v1/peers", {"peer": wanted}, persona="admin")
    assert (shown.status_int, shown.json["error"]["code"]) == (400, "not-certificates")


_PEER = {"name": "cloud-n.sv2m", "url": "https://n", "ca_pem": CA, "direction": "both", "project_id": "p9"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (migration_schemas.CREATE, {"migration": {"server_id": SERVER + "\n", "destination": "cloud-b.sv2m"}}),
        (migration_schemas.CREATE, {"migration": {"server_id": SERVER, "destination": "cloud-b.sv2m\n"}}),
        (migration_schemas.LIST_QUERY, {"limit": "5\n"}),
        *(
            (peer_schemas.CREATE, {"peer": {**_PEER, name: _PEER[name] + "\n"}})
            for name in ("name", "url", "project_id")
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if "properties" not in value else "",
)
def test_nothing_stands_behind_the_end_of_a_name(schema: dict[str, Any], value: dict[str, Any]) -> None:
    with pytest.raises(errors.LocalError):
        schemas.validate(value, schema, "body")


@pytest.mark.parametrize("end", ["\v", "\x1c", "\x85", "\u2028", "\r"])
def test_only_a_line_feed_ends_a_line_of_a_listing(end: str) -> None:
    before, message = listing.lines()[0], next(line for line in listing.lines() if b" *messages/" in line)
    listing.check(before[:-1] + end.encode() + message)
