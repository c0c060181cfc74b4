# SPDX-License-Identifier: Apache-2.0
"""A sender connects to the address that was judged, whatever a name is at the next look."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from sv2m.errors import PeerError
from sv2m.protocol.reach import Reach
from sv2m.transfer import wire
from sv2m.transfer.sender import Sender, SenderOptions
from tests.unit.transfer.channel import HERE, Channel


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0"])
def test_a_peer_cannot_have_the_host_knock_at_its_own_doors(host: str) -> None:
    door = socket.create_server(("127.0.0.1", 0))
    door.settimeout(0)
    endpoint = (host, door.getsockname()[1])
    sender = Sender(endpoint, "m", lambda _: bytes(32), SenderOptions(1 << 20))
    with door, pytest.raises(PeerError, match="at no address that the agreement allows") as caught:
        sender.start()
    assert caught.value.code == "data-endpoint-not-allowed"
    with pytest.raises(OSError):
        door.accept()


def _resolves(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A name server of the peer's: at each look another answer. :returns: what it was asked, as it is asked."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **how: Any) -> list[Any]:
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_that_is_another_address_at_the_next_look_gains_nothing(
    monkeypatch: pytest.MonkeyPatch, channel: Channel
) -> None:
    asked = _resolves(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    with wire.connect(("compute.peer", channel.receiver.port), HERE, 5) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"
    assert asked == ["compute.peer"]
    with pytest.raises(PeerError):
        wire.connect(("compute.peer", channel.receiver.port), HERE, 5)


def test_of_several_addresses_only_the_allowed_are_tried(monkeypatch: pytest.MonkeyPatch, channel: Channel) -> None:
    _resolves(monkeypatch, ["169.254.169.254", "127.0.0.2", "127.0.0.1"])
    only = Reach.of(["127.0.0.1/32"])
    with wire.connect(("compute.peer", channel.receiver.port), only, 5) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"
