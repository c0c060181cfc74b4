# SPDX-License-Identifier: Apache-2.0
"""What would be left at A, or would keep A from letting go: refused before anything moves, or removed at the end."""

from __future__ import annotations

from typing import Any

import pytest
from oslo_db import exception as db_exc

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import engine as database
from sv2m.db import migrations
from tests.unit.engine.leaving import Source


@pytest.mark.parametrize(
    ("volume", "encrypted_by", "word"),
    [
        ({"group": "g1"}, {}, "is in group g1"),
        ({"multiattach": True}, {}, "multiattach"),
        ({}, {"control_location": "back-end"}, "at the back-end"),
        ({}, {"provider": "plain"}, "encrypted by plain"),
    ],
)
def test_a_volume_that_cannot_move_is_refused_before_the_peer_hears_of_it(
    source: Source, volume: dict[str, Any], encrypted_by: dict[str, Any], word: str
) -> None:
    source.cinder.volume, source.cinder.encrypted_by = volume, encrypted_by
    row = source.run()
    assert (row.status, row.error_code) == ("failed", errors.ServerNotMovable.code)
    assert word in row.error_message
    assert not source.sent and source.at_home


def test_a_volume_with_a_snapshot_is_refused(source: Source) -> None:
    source.cinder.snapshot_ids = ["s1", "s2"]
    row = source.run()
    assert (row.status, row.error_code) == ("failed", errors.ServerNotMovable.code)
    assert "s1, s2" in row.error_message and "Delete them" in row.error_remedy
    assert not source.sent and source.at_home


def test_a_snapshot_that_is_made_while_it_travels_keeps_it_here(source: Source) -> None:
    # Nova's lock keeps nobody from Cinder; after the commit Cinder would never delete the volume.
    source.before("edm.stop_and_finish", lambda: source.cinder.snapshot_ids.append("late"))
    row = source.run()
    assert (row.status, row.error_code) == ("failed", errors.ServerNotMovable.code)
    assert "Release" not in source.documents
    assert source.at_home


def test_a_port_that_came_with_the_server_goes_with_it(source: Source) -> None:
    source.neutron.ports = ["arrived-with-it"]
    assert source.run().status == "completed"
    assert source.gone


def test_a_refused_migration_leaves_no_access_to_the_servers_key(source: Source) -> None:
    entry = {"ref": "eik", "user_id": "sv2m", "added": True}
    with database.session() as session:
        row = migrations.get(session, source.id)
        state = {**row.state, "acl": [entry]}
        migrations.advance(session, source.id, row.phase, row.generation, row.phase, state=state)
    source.peer.decision = p.Refused("no-room", "full")
    assert source.run().status == "refused"
    assert source.km.revoked == [entry]


def test_the_database_chooses_a_transaction_as_the_victim_of_a_deadlock(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance, victims = migrations.advance, []

    def deadlocked(*args: Any, **kwargs: Any) -> Any:
        row = advance(*args, **kwargs)
        if len(victims) < 3 and row.phase not in victims:
            victims.append(row.phase)
            raise db_exc.DBDeadlock
        return row

    monkeypatch.setattr(migrations, "advance", deadlocked)
    assert source.run().status == "completed"
    assert len(victims) == 3 and source.gone
