# SPDX-License-Identifier: Apache-2.0
"""An agreement is changed while a migration under it runs: which of its fields are read anew, and which are not."""

from __future__ import annotations

from typing import Any

from sv2m.db import engine as database
from sv2m.db import peers
from sv2m.gateway.client import Answer
from tests.unit.engine.leaving import Source
from tests.unit.engine.surroundings import DESTINATION


def test_a_new_url_is_taken_at_once_and_nothing_else_stops_what_runs(source: Source) -> None:
    asked: dict[str, tuple[str, str]] = {}
    honest = source.peer.send

    def send(url: str, tls_ca_pem: str, document: bytes) -> Answer:
        answer = honest(url, tls_ca_pem, document)
        asked[source.peer.sent[-1][0]] = (url, tls_ca_pem)
        return answer

    def change() -> None:
        new: dict[str, Any] = {"url": "https://new", "tls_ca_pem": "new", "enabled": False, "direction": "incoming"}
        with database.session() as session:
            peers.update(session, DESTINATION.name, limits={"migrations": 0}, **new)

    source.peer.send = send  # type: ignore[method-assign]
    source.before("edm.start_source", change)
    assert source.run().status == "completed"
    assert source.gone
    assert asked["Envelope"][0] == "https://b"
    assert asked["Transfer"] == asked["Release"] == asked["Closure"] == ("https://new", "new")
