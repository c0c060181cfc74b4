# SPDX-License-Identifier: Apache-2.0
"""EST (RFC 7030) over TLS, the CRL and timestamps over HTTP: the trusted third party as a process of the lab.

/.well-known/est/cacerts          anybody
/.well-known/est/simpleenroll     HTTP basic authentication: a cloud's name and its password for enrolment
/.well-known/est/simplereenroll   the same, or the certificate to be renewed as TLS client certificate
/crl.der                          anybody, also without TLS: the list is signed
/tsa                              anybody, also without TLS: a timestamp (RFC 3161, 3.4) is signed, too
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from lab.cloud import PORTS, REPOSITORY, VENV, Lab
from lab.ini import write_private
from lab.namespace import in_network, inside
from lab.process import Record, spawn
from lab.services.base import NotReadyError
from lab.ttp import timestamping
from lab.ttp.authority import Authority, RefusedError

_EST = "/.well-known/est"
_LARGEST_REQUEST = 16384


def enrolment_password(lab: Lab, cloud_name: str) -> str:
    """The password with which a cloud (`cloud-a.sv2m`) enrols; `est` in its credentials."""
    return next(c.credentials.password("est") for c in lab.clouds.values() if c.full_name == cloud_name)


class Handler(BaseHTTPRequestHandler):
    """One request; `authority` and `passwords` are set by `serve`."""

    authority: ClassVar[Authority]
    passwords: ClassVar[Mapping[str, str]]
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        if self.path == "/crl.der":
            self._answer(200, self.authority.crl(), "application/pkix-crl")
        elif self.path == f"{_EST}/cacerts":
            self._certificates([self.authority.certificate])
        else:
            self._answer(404, b"no such resource\n", "text/plain")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= _LARGEST_REQUEST:
            # Read some of it all the same: a connection closed on unread bytes is reset, and the answer lost.
            self.rfile.read(min(max(length, 0), 2**20))
            self.close_connection = True
            self._answer(413, b"the request is empty or too large\n", "text/plain")
            return
        body = self.rfile.read(length)
        if self.path == "/tsa":
            self._timestamp(body)
            return
        if self.path not in (f"{_EST}/simpleenroll", f"{_EST}/simplereenroll"):
            self._answer(404, b"no such resource\n", "text/plain")
            return
        sender = self._sender(renewal=self.path.endswith("simplereenroll"))
        if sender is None:
            self._answer(401, b"who are you?\n", "text/plain", {"WWW-Authenticate": 'Basic realm="est"'})
            return
        try:
            request = x509.load_der_x509_csr(base64.b64decode(body))
            self._certificates([self.authority.certify(request, sender)])
        except (ValueError, binascii.Error) as error:
            self._answer(400, f"not a PKCS#10 request in base64: {error}\n".encode(), "text/plain")
        except RefusedError as error:
            self._answer(400, f"{error}\n".encode(), "text/plain")

    def _timestamp(self, body: bytes) -> None:
        if self.headers.get("Content-Type") != timestamping.QUERY:
            self._answer(415, f"a timestamp query is {timestamping.QUERY}\n".encode(), "text/plain")
            return
        try:
            self._answer(200, self.authority.timestamps.answer(body), timestamping.REPLY)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(error, file=sys.stderr, flush=True)
            self._answer(503, b"no timestamp can be had\n", "text/plain")

    def _sender(self, renewal: bool) -> str | None:
        """The cloud that sends, proven by password, or for a renewal by its unrevoked certificate."""
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                name, _, password = base64.b64decode(value).decode().partition(":")
            except ValueError:
                return None
            known = self.passwords.get(name)
            return (
                name if known is not None and hmac.compare_digest(known.encode(), password.encode()) else None
            )
        if renewal and isinstance(self.connection, ssl.SSLSocket):
            der = self.connection.getpeercert(binary_form=True)
            if der is not None:
                certificate = x509.load_der_x509_certificate(der)
                if certificate.serial_number not in self.authority.revoked():
                    return str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
        return None

    def _certificates(self, certificates: list[x509.Certificate]) -> None:
        """RFC 7030 section 4.1.3: a certs-only PKCS#7 message in base64."""
        body = base64.encodebytes(pkcs7.serialize_certificates(certificates, Encoding.DER))
        encoding = {"Content-Transfer-Encoding": "base64"}
        self._answer(200, body, "application/pkcs7-mime; smime-type=certs-only", encoding)

    def _answer(self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _TlsServer(ThreadingHTTPServer):
    """The handshake is made in the connection's own thread, so that a silent client holds up nobody else."""

    daemon_threads = True
    context: ssl.SSLContext

    def finish_request(self, request: object, client_address: object) -> None:
        assert not isinstance(request, tuple)
        request.settimeout(30)  # type: ignore[attr-defined]
        try:
            secured = self.context.wrap_socket(request, server_side=True)  # type: ignore[arg-type]
        except OSError as error:
            print(f"{client_address}: {error}", file=sys.stderr, flush=True)
            return
        with secured:
            super().finish_request(secured, client_address)


def serve(lab: Lab) -> None:
    """Serve for ever: the body of the lab's `ttp` process."""
    Handler.authority = Authority(lab)
    Handler.passwords = {c.full_name: enrolment_password(lab, c.full_name) for c in lab.clouds.values()}
    certificate, key = Handler.authority.write_server_certificate(lab.ttp.etc)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(Handler.authority.anchor)
    context.verify_mode = ssl.CERT_OPTIONAL
    plain = ThreadingHTTPServer(("0.0.0.0", PORTS["ttp-crl"]), CrlHandler)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    server = _TlsServer(("0.0.0.0", PORTS["ttp"]), Handler)
    server.context = context
    server.serve_forever()


class CrlHandler(Handler):
    """Without TLS there is what is signed, the CRL and timestamps, and nothing else: no password may come this way."""

    def do_GET(self) -> None:
        if self.path == "/crl.der":
            super().do_GET()
        else:
            self._answer(404, b"no such resource\n", "text/plain")

    def do_POST(self) -> None:
        if self.path == "/tsa":
            super().do_POST()
        else:
            self._answer(405, b"only over TLS\n", "text/plain")


def start(lab: Lab) -> None:
    """Make the authority and start its process; NotReadyError if it does not answer within a minute."""
    Authority(lab).create()
    for cloud in lab.clouds.values():
        cloud.directory.mkdir(parents=True, exist_ok=True)
        # The cloud's operator got it on paper, so to say; sv2m's own configuration may read it from here.
        write_private(cloud.etc / "est-password", cloud.credentials.password("est"))
    command = [str(VENV / "bin" / "python"), "-m", "lab.ttp.service", str(lab.directory)]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "LANG": "C.UTF-8"}
    room = lab.ttp
    process = spawn(
        inside(room, command),
        Record(room.run / "ttp.json"),
        room.log / "ttp.out",
        environment,
        room.directory,
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with in_network(room):
        while process.alive():
            try:
                opener.open(f"http://127.0.0.1:{PORTS['ttp-crl']}/crl.der", timeout=10).close()
            except OSError:
                threading.Event().wait(0.1)
            else:
                return
    raise NotReadyError(f"the trusted third party ended; see {room.log / 'ttp.out'}")


if __name__ == "__main__":
    serve(Lab.load(sys.argv[1]))
