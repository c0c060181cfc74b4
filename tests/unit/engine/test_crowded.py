# SPDX-License-Identifier: Apache-2.0
"""More migrations than places: those that wait for somebody who is away do not keep the others from going on."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

from sv2m import errors
from sv2m.db import engine as database
from sv2m.db import migrations
from sv2m.engine.worker import Workers
from tests.unit.engine.leaving import Source
from tests.unit.engine.surroundings import DESTINATION


def test_a_peer_that_is_away_does_not_keep_another_migration_waiting(source: Source) -> None:
    source.stop()
    away, asked = threading.Event(), threading.Event()
    honest = source.peer.send

    def send(url: str, tls_ca_pem: str, document: bytes) -> object:
        if away.is_set() and source.row.phase == "released":
            asked.set()
            raise errors.PeerUnreachable("connection refused")
        return honest(url, tls_ca_pem, document)

    source.peer.send = send  # type: ignore[assignment,method-assign]
    source.before("edm.check_unchanged", away.set)
    source.workers = Workers(lambda: source.services, "engine-a", 1, timedelta(seconds=60))
    source.workers.start()
    source.workers.work_on(source.id)
    assert asked.wait(60)

    other = str(uuid.uuid4())
    source.recorder.failing["azm.may_start"] = errors.PolicyError("not you")
    values = {"peer": DESTINATION.name, "server_id": "other", "project_id": "p", "phase": "requested"}
    with database.session() as session:
        migrations.create(session, id=other, role="source", state={"credentials": {}}, **values)
    source.workers.work_on(other).result(60)
    with database.session() as session:
        assert migrations.get(session, other).phase != "requested"
    assert source.row.phase == "released"

    away.clear()
    assert source.run().status == "completed"
    assert source.gone
