# SPDX-License-Identifier: Apache-2.0
"""Migrations through both engines and their modules, well and badly ended: no key is seen anywhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sv2m import errors
from sv2m.engine import flow
from sv2m.engine.notifying import AuditPublisher
from tests.attacks.federation import A
from tests.canary import clouds as canaries
from tests.canary.clouds import DestinationCloud, SourceCloud, directly
from tests.canary.conftest import Heard
from tests.canary.search import Search


class _Notifications:
    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def info(self, ctxt: dict[str, Any], event_type: str, payload: dict[str, Any]) -> None:
        self._heard.rpc.append(repr((ctxt, event_type, payload)))


def _notified(heard: Heard) -> int:
    return AuditPublisher(_Notifications(heard), "cloud", 1).look()


def test_the_source(quick: sa.Engine, search: Search, heard: Heard, broker: canaries.Broker) -> None:
    a = SourceCloud(broker.connect)
    try:
        assert a.run().phase == "closed"
    finally:
        a.stop()
    assert _notified(heard)
    places = dict(heard.places())
    assert b"Envelope" in places["log"] or b"INSERT INTO messages" in places["log"], "statements are logged"
    for said in ("copy_eiks", "sign_manifest", "seal_signature", "make_vmk", "wrap", "cipher_value_b64"):
        assert said.encode() in places["RPC"]
    assert search.within(places.items()) == []


def test_the_destination(
    quick: sa.Engine, search: Search, heard: Heard, broker: canaries.Broker, tmp_path: Path
) -> None:
    b = DestinationCloud(tmp_path, broker.connect)
    try:
        b.source.run()
        assert b.carry_on().phase == "closed"
        assert b.runs
    finally:
        b.stop()
    assert _notified(heard)
    places = dict(heard.places())
    for said in ("unwrap", "open_signature", "make_ekb", "import_volume"):
        assert said.encode() in places["RPC"]
    assert search.within(places.items()) == []


_FAILURES = {
    "foreseen": errors.HostError("the service is away"),
    "unforeseen": ValueError("nobody thought of this"),
}


#: Until they succeed, whatever the phase: no key may be left.
_REPEATED = ("km.destroy", "km.forget")


@pytest.mark.parametrize("failure", _FAILURES.values(), ids=_FAILURES)
def test_whatever_fails_at_the_source(
    quick: sa.Engine, search: Search, heard: Heard, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = SourceCloud(directly)
    try:
        assert a.run().phase == "closed"
        calls = [call for call in dict.fromkeys(a.recorder.calls) if call.split(".")[0] in ("km", "mam", "edm", "cmm")]
        assert "km.wrap" in calls
        for call in calls:
            a.begin()
            if call in _REPEATED:
                a.recorder.once = {(phase, call): [failure] for phase in flow.SOURCE}
            else:
                a.recorder.failing[call] = failure
            a.abort()
            a.run()
    finally:
        a.stop()
    assert any(str(failure) in line for line in heard.log.lines)
    assert search.within(heard.places()) == []


_LIES: dict[str, dict[str, Any]] = {
    "committed to another": {"committed": "00000000-0000-4000-8000-000000000000"},
    "wrapped for another session": {"label": bytes(32)},
    "of another length": {"eik": canaries.EIK[:-1]},
}


@pytest.mark.parametrize("lies", _LIES.values(), ids=_LIES)
def test_keys_that_are_refused_in_the_very_place_where_they_are_in_hand(
    quick: sa.Engine, search: Search, heard: Heard, tmp_path: Path, lies: dict[str, Any]
) -> None:
    b = DestinationCloud(tmp_path, directly)
    try:
        b.source.run("TokenAB")
        with pytest.raises(errors.SV2MError):
            b.source.say("Envelope", keys=b.source.keys(**lies))
            b.source.say("Transfer")
        b.carry_on()
    finally:
        b.stop()
    assert b.phase == "undone"
    assert search.within(heard.places()) == []


def test_what_is_logged_would_be_found(search: Search, heard: Heard) -> None:
    """Otherwise finding nothing would prove nothing."""
    logging.getLogger("sv2m.anything").debug("the key is %r, that of %s", canaries.VMK, A)
    with pytest.raises(errors.HostError):
        raise errors.HostError(f"cannot use {canaries.EIK.hex()}")
    found = {(leak.secret, leak.where) for leak in search.within(heard.places())}
    assert {("VMK", "log"), ("EIK", "exceptions")} <= found
