# SPDX-License-Identifier: Apache-2.0
"""sv2m-api answers while others send it a byte now and then, or nothing."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_middleware import sizelimit

from sv2m import exchange
from sv2m.cmd import api as program
from sv2m.cmd import assembly
from sv2m.conf import api as options
from tests.unit.gateway.tls import Authority

#: Beginnings of requests that never end.
BEGINNINGS = {
    "nothing": b"",
    "headers": b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ",
    "a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx",
    "chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body) + 1))])
    return [b"!" + body]


class Served:
    """A listener, and strangers before it."""

    def __init__(self, conf: cfg.ConfigOpts, ca: Path | None) -> None:
        self.port: int = conf.api.port
        self.ca = ca
        self._strangers = ExitStack()

    def strangers(self, number: int, says: bytes, *, tls: bool) -> list[socket.socket]:
        found = []
        for _ in range(number):
            sock = socket.create_connection(("127.0.0.1", self.port), 30)
            if tls:
                context = ssl.create_default_context(cafile=str(self.ca))
                sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
            sock.sendall(says)
            found.append(self._strangers.enter_context(sock))
        return found

    def ask(self, body: bytes = b"") -> bytes:
        scheme = "http" if self.ca is None else "https"
        url = f"{scheme}://127.0.0.1:{self.port}/"
        reply = exchange.ask("POST", url, within=30, limit=1 << 20, verify=str(self.ca or True), data=body)
        assert reply.status == 200
        return reply.body

    def close(self) -> None:
        self._strangers.close()


@contextmanager
def serving(directory: Path, *, tls: bool, timeout: int = 60) -> Iterator[Served]:
    conf = cfg.ConfigOpts()
    options.register_opts(conf)
    conf.register_opts(sizelimit.OPTS, group="oslo_middleware")
    conf([], default_config_files=[], default_config_dirs=[])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    values: dict[str, Any] = {"listen_address": "127.0.0.1", "port": port, "threads": 2, "connections": 16}
    ca = None
    if tls:
        authority, ca = Authority("TLS"), directory / "ca.pem"
        certificate = authority.server("127.0.0.1", directory)
        ca.write_text(authority.pem)
        values |= {"certificate_file": str(certificate), "private_key_file": str(certificate)}
    for name, value in {**values, "request_timeout": timeout}.items():
        conf.set_override(name, value, "api")
    listener = program.Listener(conf)
    listener.start()
    made = Served(conf, ca)
    try:
        yield made
    finally:
        made.close()
        listener.stop()


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "api", lambda _: application)


@pytest.fixture(params=[True, False], ids=["TLS", "plain"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, tls=request.param) as made:
        yield made


@pytest.mark.parametrize("says", BEGINNINGS.values(), ids=BEGINNINGS)
def test_who_never_ends_takes_nobodys_place(served: Served, says: bytes) -> None:
    """More than there are threads that answer, and more than there are connections."""
    served.strangers(20, says, tls=served.ca is not None)
    assert [served.ask(b"x") for _ in range(3)] == [b"!x"] * 3


def test_who_does_not_even_shake_hands_keeps_nobody_out(served: Served) -> None:
    served.strangers(5, b"", tls=False)
    assert served.ask(bytes(50_000)) == b"!" + bytes(50_000)


def test_a_request_is_one_connection(served: Served) -> None:
    """Or who was heard once could take a byte's time for ever for the next."""
    (sock,) = served.strangers(1, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", tls=served.ca is not None)
    said = b""
    while part := sock.recv(1000):
        said += part
    assert said.startswith(b"HTTP/1.1 200 OK") and said.endswith(b"!")


def test_who_takes_too_long_is_sent_away(tmp_path: Path) -> None:
    with serving(tmp_path, tls=False, timeout=1) as served:
        (sock,) = served.strangers(1, BEGINNINGS["a body"], tls=False)
        while sock.recv(1000):
            pass


#: Requests of somebody without a token that say more than anybody has to hear.
LARGE = {
    "a negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a header without end": b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: ",
    "a chunk of a gigabyte": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n",
}


@pytest.mark.parametrize("says", LARGE.values(), ids=LARGE)
def test_nobody_fills_its_memory_without_a_token(served: Served, says: bytes) -> None:
    (sock,) = served.strangers(1, says, tls=served.ca is not None)
    sent = 0
    # It ends the connection while more is still to come.
    with pytest.raises(OSError):
        while sent < 64 << 20:
            sock.sendall(bytes(1 << 16))
            sent += 1 << 16
    assert served.ask(b"x") == b"!x"


def test_chunks_that_are_none_are_the_senders_fault(served: Served) -> None:
    says = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"
    (sock,) = served.strangers(1, says, tls=served.ca is not None)
    assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")
