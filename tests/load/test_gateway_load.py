# SPDX-License-Identifier: Apache-2.0
"""The gateway answers honest peers while strangers knock, and is the same afterwards as before."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from sv2m import errors
from sv2m.gateway.client import PeerClient
from tests.fuzz.targets import vectors
from tests.load.strangers import TO_A_GATEWAY, Strangers, descriptors, forget_most, most_resident, resident, threads
from tests.unit.gateway.tls import Authority
from tests.unit.transfer.channel import until

_HEAD = vectors.document("Transfer").split(b">", 1)[0] + b">"
#: A Transfer that is as long as that of a guest of 10 GiB; the gateway looks at its beginning only.
LONG = _HEAD + bytes(1 << 20)
#: What honest peers send during a storm.
MESSAGES = 30
MIB = 1 << 20


@dataclass
class Gateway:
    port: int
    ca: str
    pid: int

    def send(self, document: bytes) -> None:
        """As a peer does, which asks again when no answer comes: the oldest connections make room when it is scarce."""
        for left in reversed(range(5)):
            try:
                answer = PeerClient(20).send(f"https://127.0.0.1:{self.port}", self.ca, document)
            except errors.PeerUnreachable as error:
                if not left or not isinstance(error.__cause__, requests.RequestException):
                    raise
                continue
            assert answer.done
            return


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    authority = Authority("TLS")
    certificate = authority.server("127.0.0.1", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path / "errors").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.load.gateway", str(port), str(certificate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            cwd=Path(__file__).parents[2],
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", (tmp_path / "errors").read_text()
        yield Gateway(port, authority.pem, process.pid)
    finally:
        process.communicate(timeout=60)


def test_honest_messages_are_answered_while_200_strangers_knock(gateway: Gateway) -> None:
    for _ in range(10):
        gateway.send(vectors.document("Offer"))
        gateway.send(LONG)
    before = {measure: measure(gateway.pid) for measure in (resident, descriptors, threads)}
    forget_most(gateway.pid)
    strangers = Strangers(gateway.port, TO_A_GATEWAY)
    strangers.start()
    try:
        until("the strangers are there", lambda: strangers.visits >= 400, 120)
        strangers.count_anew()
        for number in range(MESSAGES):
            gateway.send(LONG if number % 3 == 0 else vectors.document("Envelope"))
        # All of them: none was kept out for good while the honest were answered.
        until("each of them comes again", lambda: strangers.visitors == 200, 120)
    finally:
        strangers.stop()
    most = most_resident(gateway.pid)
    assert most < before[resident] + 300 * MIB
    until("every connection is closed", lambda: descriptors(gateway.pid) <= before[descriptors] + 2, 60)
    assert threads(gateway.pid) <= before[threads] + 4
    gateway.send(vectors.document("Closure"))
    # The interpreter keeps what it once had for threads and TLS; it must not be more than that.
    assert resident(gateway.pid) < before[resident] + 150 * MIB
