# SPDX-License-Identifier: Apache-2.0
"""Nobody who answers a byte now and then holds whoever asked, whatever he asked for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding

from sv2m import errors, exchange
from sv2m.cmm.est import EstClient
from sv2m.cmm.fetch import HttpFetch
from sv2m.engine.authority import TimestampAuthority
from sv2m.gateway.client import PeerClient
from tests.fuzz.targets import authority as certified
from tests.unit import tarpit
from tests.unit.gateway.tls import Authority, serving

#: Seconds after which a client of this test gives up, and after which the test does.
_WITHIN, _ENOUGH = 0.5, 60.0
SECURE = [*tarpit.ENDLESS, "a handshake"]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("tls.sv2m")


@pytest.fixture
def certificate(authority: Authority, tmp_path: Path) -> Path:
    return authority.server("127.0.0.1", tmp_path)


@pytest.fixture
def in_time() -> Iterator[Callable[[Callable[[], object]], object]]:
    """Calls a function, and fails if it does not come back."""
    with ThreadPoolExecutor() as pool:
        yield lambda asked: pool.submit(asked).result(_ENOUGH)


InTime = Callable[[Callable[[], object]], object]


@pytest.mark.parametrize("endless", SECURE)
def test_a_peer(endless: str, authority: Authority, certificate: Path, in_time: InTime) -> None:
    with tarpit.answering(endless, certificate) as pit, pytest.raises(errors.PeerUnreachable) as raised:
        in_time(lambda: PeerClient(_WITHIN).send(pit.url, authority.pem, b"<Offer/>"))
    # Not TLS, whose remedy would be to look at certificates.
    assert raised.value.code == "peer-unreachable"
    assert "within 0.5 s" in raised.value.message


@pytest.mark.parametrize("endless", SECURE)
def test_an_est_server(
    endless: str, authority: Authority, certificate: Path, tmp_path: Path, in_time: InTime
) -> None:
    (tmp_path / "ca.pem").write_text(authority.pem)
    with tarpit.answering(endless, certificate) as pit, pytest.raises(errors.ServiceUnavailable, match="Timeout"):
        est = EstClient(pit.url, "cloud", "pass", str(tmp_path / "ca.pem"), _WITHIN)
        in_time(est.cacerts)


@pytest.mark.parametrize("endless", tarpit.ENDLESS)
def test_where_a_revocation_list_lies(endless: str, in_time: InTime) -> None:
    with tarpit.answering(endless) as pit, pytest.raises(errors.ServiceUnavailable, match="Timeout"):
        in_time(lambda: HttpFetch(_WITHIN)(pit.url, 1 << 20))


@pytest.mark.parametrize("endless", tarpit.ENDLESS)
def test_a_timestamp_authority(endless: str, tmp_path: Path, in_time: InTime) -> None:
    (tmp_path / "roots.pem").write_bytes(certified.root().public_bytes(Encoding.PEM))
    with tarpit.answering(endless) as pit, pytest.raises(errors.ServiceUnavailable, match="Timeout"):
        asked = TimestampAuthority(pit.url, str(tmp_path / "roots.pem"), None, _WITHIN)
        in_time(lambda: asked.stamp(b"anything"))


def test_whoever_reads_a_long_request_slowly(in_time: InTime) -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        done = threading.Event()

        def read() -> None:
            sock, _ = slow.accept()
            with sock:
                while not done.wait(tarpit.PAUSE) and sock.recv(1):
                    pass

        reading = threading.Thread(target=read)
        reading.start()
        try:
            url = f"http://127.0.0.1:{slow.getsockname()[1]}"
            with pytest.raises(requests.Timeout):
                in_time(lambda: exchange.ask("POST", url, within=_WITHIN, limit=1, data=bytes(64 << 20)))
        finally:
            done.set()
            reading.join()


def test_many_addresses_that_do_not_answer_share_the_time(monkeypatch: pytest.MonkeyPatch, in_time: InTime) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # A full queue of connections: the next one is neither taken nor refused.
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)] * 1000
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with pytest.raises(requests.Timeout):
            in_time(lambda: exchange.ask("GET", "http://many.test", within=_WITHIN, limit=1))
        for sock in waiting:
            sock.close()


def test_an_answer_in_time_is_whole(authority: Authority, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(authority.pem)
    with serving(certificate) as peer:
        peer.status, peer.body, peer.headers = 404, bytes(100_000), {"X-Name": "value"}
        reply = exchange.ask(
            "POST", peer.url, within=_ENOUGH, limit=200_000, verify=str(tmp_path / "ca.pem"), data=b"x"
        )
        assert (reply.status, reply.headers["x-name"], reply.body) == (404, "value", bytes(100_000))
        # Of a larger one no more than shows that it is.
        reply = exchange.ask("POST", peer.url, within=_ENOUGH, limit=1000, verify=str(tmp_path / "ca.pem"), data=b"x")
        assert len(reply.body) == 1001


def _sockets() -> set[str]:
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(one.readlink()))
    return {one for one in found if one.startswith("socket:")}


def test_no_connection_stays_open() -> None:
    before = _sockets()
    with tarpit.answering("silence") as pit, pytest.raises(requests.Timeout):
        exchange.ask("GET", pit.url, within=_WITHIN, limit=1)
    assert _sockets() <= before
