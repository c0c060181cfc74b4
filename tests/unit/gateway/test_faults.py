# SPDX-License-Identifier: Apache-2.0
"""Whose fault an error is decides its status."""

from __future__ import annotations

import pytest

from sv2m import errors
from sv2m.gateway.app import Gateway
from tests.unit.gateway.test_app import OFFER, Conductor, call


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidSignature("it does not verify"),
        errors.UnexpectedMessage("not now"),
        errors.ReplayedMessage("taken before"),
        errors.RefusedByPeer("no room left", code="no-room"),
    ],
    ids=lambda error: error.code,
)
def test_a_fault_of_the_peer_is_a_bad_request_of_the_peer(error: errors.PeerError) -> None:
    reply = call(Gateway(Conductor(error)))
    assert reply.status == 400
    told = {name: reply.error[name] for name in ("code", "message", "fault")}
    assert told == {"code": error.code, "message": error.message, "fault": "peer"}
    # "The peer" is who reads this: it is told what to do at its own place.
    assert "your own cloud's SV2M" in reply.error["remedy"]


@pytest.mark.parametrize(
    ("body", "environ"),
    [(b"not xml", {}), (OFFER, {"CONTENT_LENGTH": ""}), (OFFER, {"CONTENT_LENGTH": str(1 << 40)})],
    ids=["not-xml", "no-length", "too-large"],
)
def test_a_broken_request_is_a_bad_request(body: bytes, environ: dict[str, str]) -> None:
    assert call(Gateway(Conductor()), body, **environ).status == 400


def test_a_fault_of_our_own_hosts_is_hidden_from_strangers() -> None:
    reply = call(Gateway(Conductor(errors.HostError("Nova at http://10.0.0.5:8774 failed"))))
    assert reply.status == 503
    assert b"10.0.0.5" not in reply.body
