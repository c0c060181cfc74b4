# SPDX-License-Identifier: Apache-2.0
"""What would be left at A, or would keep A from letting go: refused before anything moves, or removed at the end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import oslo_messaging
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
        ({}, {"provider": "luks2"}, "encrypted by luks2"),
        ({}, {"cipher": "serpent-xts-plain64"}, "serpent-xts-plain64 with 256 bits"),
        ({}, {"key_size": 320}, "aes-xts-plain64 with 320 bits"),
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


COPY = "EIK-0-{id}"


def test_what_is_wrapped_is_the_copy_which_goes_when_it_is_over(source: Source) -> None:
    copy = COPY.format(id=source.id)
    used: list[bool] = []
    source.before("km.wrap", lambda: used.append(copy in source.km.stored))
    # Nobody lets SV2M's user read the key itself any more.
    key = source.km.stored.pop("eik")
    assert source.run().status == "completed"
    assert used == [True]
    assert key and source.gone


@pytest.mark.parametrize("phase", ["requested", "authenticated"])
def test_a_copy_of_which_no_row_tells_goes_too(source: Source, phase: str) -> None:
    """Nobody knows yet how many disks the server has."""
    source.remember(copies=[])
    assert COPY.format(id=source.id) in source.km.stored
    if phase == "requested":
        source.recorder.failing["servers.get"] = errors.HostError("away")
    else:
        source.peer.decision = p.Refused("no-room", "full")
    source.run()
    assert source.recorder.phases[-1] == ("withdrawing" if phase == "requested" else phase)
    assert source.at_home


def test_a_refused_migration_leaves_no_copy(source: Source) -> None:
    source.peer.decision = p.Refused("no-room", "full")
    assert source.run().status == "refused"
    assert source.at_home


@pytest.mark.parametrize("error", [errors.KeyManagerError("away"), oslo_messaging.MessagingTimeout("no answer")])
def test_a_refusal_is_kept_when_the_copies_cannot_be_destroyed_and_they_go_later(
    source: Source, error: Exception
) -> None:
    source.peer.decision = p.Refused("no-room", "full")
    source.recorder.once[("authenticated", "km.destroy")] = [error]
    row = source.run()
    assert (row.status, row.phase, row.error_code) == ("refused", "refused", "no-room")
    assert "full" in row.error_message
    assert source.documents == ["Offer", "TokenBA1", "TokenAB", "TokenBA2"]
    assert not source.at_home
    source.tidy(timedelta(minutes=1))
    assert source.at_home


def test_a_request_that_was_cut_off_ends_and_its_grants_are_taken_back(source: Source) -> None:
    """The API process died after it had put SV2M's user on the list of one key, and of none of the other."""
    acl = [{"volume_id": f"v{n}", "secret_ref": f"key-{n}", "added": n == 1} for n in (1, 2)]
    with database.session() as session:
        row = migrations.get(session, source.id)
        state = {"credentials": row.state["credentials"], "acl": acl}
        migrations.advance(session, source.id, row.phase, row.generation, row.phase, state=state)
    row = source.run()
    assert (row.status, row.phase, row.error_code) == ("failed", "withdrawn", "request-cut-off")
    assert source.km.revoked == [acl[0]]
    assert not source.sent and source.at_home


def test_a_request_that_was_answered_and_cut_off_before_the_server_was_looked_at_ends(source: Source) -> None:
    """The row names no server yet: nobody has shown that its caller may have that one moved."""
    with database.session() as session:
        row = migrations.get(session, source.id)
        state = {"credentials": row.state["credentials"], "asked": row.server_id}
        unseen = {"state": state, "server_id": None, "running_server_id": None}
        migrations.advance(session, source.id, row.phase, row.generation, row.phase, **unseen)
    row = source.run()
    assert (row.status, row.phase, row.error_code) == ("failed", "withdrawn", "request-cut-off")
    assert not source.sent and source.nova.paused == 0 and not source.nova.locked
    source.tidy(timedelta(minutes=1))


@pytest.mark.parametrize("becomes", ["another", None], ids=["another key", "none"])
def test_a_volume_that_got_another_key_meanwhile_stays_here(source: Source, becomes: str | None) -> None:
    def retyped() -> None:
        source.km.of = {"volume": becomes} if becomes else {}

    source.before("mam.nonce", retyped)
    row = source.run()
    assert (row.status, row.error_code) == ("failed", errors.ServerNotMovable.code)
    assert "volume volume has another key" in row.error_message
    assert "Envelope" not in source.documents and source.at_home


def test_a_volume_whose_key_was_not_copied_stays_here(source: Source) -> None:
    source.remember(copies=[])
    row = source.run()
    assert (row.status, row.error_code) == ("failed", errors.ServerNotMovable.code)
    assert "was attached since" in row.error_message and source.at_home


def test_a_copy_that_is_made_when_it_is_over_goes(source: Source) -> None:
    """KM had the API's question still in hand when the API, and then the engine, gave up."""
    source.remember(acl=[{"volume_id": "volume", "secret_ref": "eik", "added": False}] * 2)
    source.recorder.failing["servers.get"] = errors.HostError("away")
    assert source.run().phase == "withdrawn"
    source.km.copy_eiks({}, source.id, {"volume": "eik", "another": "eik"})
    source.tidy()
    assert source.at_home


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
