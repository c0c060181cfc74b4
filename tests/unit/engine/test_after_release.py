# SPDX-License-Identifier: Apache-2.0
"""After the commit the source believes one thing only: a Receipt of this migration, signed by the destination."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from sv2m import errors
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.gateway.client import Answer
from tests.protocol.clouds import Pair
from tests.unit.engine.leaving import Source

OTHERS = Pair().run("resume").b.document("Receipt")
LIES = {
    "unreachable": errors.PeerUnreachable("no route"),
    "unsigned-refusal": errors.RefusedByPeer("we never heard of it", code="not-found"),
    "not-an-answer": errors.MalformedMessage("rubbish"),
    "working": Answer(False, None),
    "nothing": Answer(True, None),
    "rubbish": Answer(True, b"<Receipt/>"),
    "another-migrations": Answer(True, OTHERS),
    "bug": ZeroDivisionError("ours"),
}


@pytest.mark.parametrize("lie", LIES)
def test_nothing_but_the_receipt_ends_the_asking(source: Source, lie: str) -> None:
    seen: list[str] = []
    source.peer.instead["Release"] = [LIES[lie]] * 3
    send = source.peer.send

    def watched(url: str, ca: str, document: bytes) -> Answer:
        seen.append(source.row.phase)
        assert seen[-1] != "released" or source.nova.status == "PAUSED"
        return send(url, ca, document)

    source.peer.send = watched  # type: ignore[method-assign]
    assert source.run().phase == "closed"
    assert seen.count("released") == 4
    assert source.recorder.calls.count("servers.unpause") == 0
    assert source.gone


def test_a_changed_receipt_is_none(source: Source) -> None:
    honest = source.peer.send

    def forged(url: str, ca: str, document: bytes) -> Answer:
        answer = honest(url, ca, document)
        if source.row.phase == "released" and forgeries:
            forgeries.pop()
            return Answer(True, (answer.document or b"").replace(b"resumed", b"refused"))
        return answer

    forgeries = [1, 2]
    source.peer.send = forged  # type: ignore[method-assign]
    assert source.run().phase == "closed"
    assert not forgeries
    assert source.nova.paused == 1


@pytest.mark.parametrize("late", ["abort", "lifetime"])
def test_neither_abort_nor_lifetime_takes_a_release_back(source: Source, late: str) -> None:
    release = source.peer._release

    def too_late() -> str:
        with database.session() as session:
            if late == "abort":
                migrations.request_abort(session, source.id)
            else:
                migrations.get(session, source.id).not_after = datetime.now(UTC) - timedelta(seconds=1)
        return release()

    source.peer._release = too_late  # type: ignore[method-assign]
    row = source.run()
    assert (row.phase, row.status) == ("closed", "completed")
    assert source.gone


def test_only_a_signed_refusal_gives_the_server_back(source: Source) -> None:
    source.peer.resumes = False
    row = source.run()
    assert (row.phase, row.status, row.fault) == ("returned", "failed", "peer")
    assert "host-died" in row.error_message
    assert source.at_home


def test_an_engine_that_stops_leaves_a_released_migration_as_it_is(source: Source) -> None:
    asked = threading.Event()

    def away(url: str, ca: str, document: bytes) -> Answer:
        if source.row.phase != "released":
            return honest(url, ca, document)
        asked.set()
        raise errors.PeerUnreachable("away")

    honest = source.peer.send
    source.peer.send = away  # type: ignore[method-assign]
    assert source.workers is not None
    source.workers.work_on(source.id)
    assert asked.wait(30)
    source.stop()
    assert (source.row.phase, source.row.status, source.row.owner) == ("released", "running", None)
    assert source.nova.status == "PAUSED"
    source.peer.send = honest  # type: ignore[method-assign]
    source.start()
    assert source.run().phase == "closed"
