# SPDX-License-Identifier: Apache-2.0
"""The source's engine from request to closure, and every way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sv2m import errors, protocol
from sv2m.db import engine as database
from sv2m.db import migrations, peers
from sv2m.gateway.client import Answer
from tests.protocol import clouds
from tests.protocol.clouds import Pair
from tests.unit.engine.leaving import DESTINATION, Source

WHOLE = ["Offer", "TokenBA1", "TokenAB", "TokenBA2", "Envelope", "Transfer", "Prepared", "Release", "Receipt"]
#: A Prepared of the same clouds, rightly signed, of another migration.
OTHERS = Pair().run("restore").b.document("Prepared")
BROKEN = errors.HostError("broken on purpose", code="broken")


def test_a_migration_runs_from_request_to_closure(source: Source) -> None:
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("closed", "completed", None)
    assert source.documents == [*WHOLE, "Closure"]
    assert source.gone
    assert source.peer.side.machine.phase == "closing"
    assert row.downtime_ms is not None


@pytest.mark.parametrize(
    ("call", "phase"),
    [
        ("servers.get", "requested"),
        ("azm.may_start", "requested"),
        ("edm.describe", "requested"),
        ("mam.nonce", "offered"),
        ("km.make_vmk", "accepted"),
        ("km.find_eiks", "accepted"),
        ("km.wrap", "accepted"),
        ("edm.start_source", "transferring"),
        ("servers.lock", "transferring"),
        ("servers.pause", "transferring"),
        ("edm.stop_and_finish", "transferring"),
        ("edm.manifest", "transferring"),
        ("mam.sign_manifest", "transferring"),
        ("km.seal_signature", "transferring"),
        ("edm.check_unchanged", "prepared"),
    ],
)
def test_a_failure_before_the_commit_brings_the_server_back(source: Source, call: str, phase: str) -> None:
    source.recorder.failing[call] = BROKEN
    row = source.run()
    assert (row.phase, row.status, row.error_code, row.fault) == ("withdrawn", "failed", "broken", "host")
    assert source.recorder.phases[source.recorder.calls.index(call)] == phase
    assert source.at_home
    assert "Release" not in source.documents
    # B is told as soon as there is a session of which it can be told.
    session = phase not in ("requested", "offered")
    assert source.peer.side.machine.phase == "undoing" if session else "Closure" not in source.documents


def taken_for(source: Source, status: str) -> None:
    """While the server is brought back, Nova takes it for something else than it was asked for."""

    def taken() -> None:
        source.nova.misread, source.nova.status = True, status

    source.recorder.failing["edm.manifest"] = BROKEN
    source.recorder.hooks["edm.abort"] = taken


@pytest.mark.parametrize("error", [None, errors.AgentLost("away"), RuntimeError("of the agent's libvirt")])
def test_a_server_that_nova_takes_for_running_while_it_stands_still_goes_on(
    source: Source, error: Exception | None
) -> None:
    """The engine was killed between two calls of asking again for an unpausing that was lost."""
    taken_for(source, "ACTIVE")
    source.agent.sees = source.nova
    if error is not None:
        source.recorder.failing["edm.power"] = error
    assert source.run().phase == "withdrawn"
    assert source.at_home
    assert not source.nova.misread


def test_a_server_is_not_given_back_before_it_goes_on(source: Source) -> None:
    """Nova lost the unpausing, was asked again, failed, and takes the server for running since."""
    source.recorder.failing["edm.manifest"] = BROKEN
    source.nova.vain = 2
    source.agent.sees = source.nova
    assert source.run().phase == "withdrawn"
    assert source.at_home
    assert not source.nova.misread
    assert source.recorder.calls.count("servers.unpause") == 3


def test_an_agent_that_is_gone_is_asked_nothing_more(source: Source) -> None:
    source.recorder.failing |= {"edm.manifest": BROKEN, "edm.abort": errors.AgentLost("away")}
    assert source.run().phase == "withdrawn"
    assert (source.nova.status, source.nova.locked) == ("ACTIVE", False)
    assert "edm.power" not in source.recorder.calls


def test_only_what_was_asked_for_under_our_lock_is_asked_for_again(source: Source) -> None:
    source.recorder.failing["edm.manifest"] = BROKEN
    source.run()
    assert source.nova.settled == [("pausing",), ("pausing", "unpausing")]


def test_what_nova_does_with_a_server_that_we_could_not_lock_is_its_owners(source: Source) -> None:
    """An administrator took the lock off, and it cannot be set again before the pause."""

    def unlocked() -> None:
        source.nova.unlock(source.server_id)
        source.recorder.failing["servers.lock"] = BROKEN

    source.before("edm.start_source", unlocked)
    source.run()
    assert source.nova.settled == [()]


def test_a_server_that_the_host_has_paused_and_nova_never_learnt_of_goes_on(source: Source) -> None:
    """The broker died before nova-compute could write down what it had done."""
    taken_for(source, "ACTIVE")
    source.agent.sees = source.nova

    def unnoticed() -> None:
        source.nova.power_is_known = False

    source.recorder.hooks["servers.settle"] = lambda: source.recorder.hooks.update({"servers.settle": unnoticed})
    assert source.run().phase == "withdrawn"
    assert source.at_home
    assert not source.nova.misread


def test_a_server_that_nova_takes_for_paused_while_it_runs_is_told_so(source: Source) -> None:
    """Nova would let no running server go on, and the migration would wait for that for ever."""
    taken_for(source, "PAUSED")
    source.agent.sees = source.nova
    assert source.run().phase == "withdrawn"
    assert source.at_home
    assert source.nova.told_active == 1
    assert "servers.unpause" not in source.recorder.calls


def test_an_unexpected_failure_is_a_failure_too(source: Source) -> None:
    source.recorder.failing["km.wrap"] = ZeroDivisionError("a bug")
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "failed", "internal-error")
    assert source.at_home


def test_an_agent_that_failed_is_told_in_its_own_words(source: Source) -> None:
    def fail() -> None:
        source.agent.state, source.agent.error = "failed", {"code": "disk-lost", "message": "the disk is gone"}

    source.before("edm.wait", fail)
    row = source.run()
    assert (row.phase, row.error_code, row.error_message) == ("withdrawn", "disk-lost", "the disk is gone")


@pytest.mark.parametrize(
    ("networks", "host", "goes"),
    [
        ([], "192.0.2.1", True),
        ([], "169.254.169.254", False),
        ([], "127.0.0.1", False),
        (["198.51.100.0/24"], "192.0.2.1", False),
        (["192.0.2.0/24"], "192.0.2.1", True),
        (["192.0.2.0/24"], "compute-7.cloud-b.example", True),
    ],
)
def test_a_data_endpoint_that_the_agreement_does_not_allow_gets_no_keys(
    source: Source, networks: list[str], host: str, goes: bool
) -> None:
    with database.session() as session:
        peers.update(session, DESTINATION.name, data_networks=networks)
    source.peer.decision = protocol.Accepted(clouds.ephemeral_key()[0], host, 4711)
    row = source.run()
    if goes:
        assert row.status == "completed"
        return
    assert (row.status, row.error_code) == ("failed", "data-endpoint-not-allowed")
    assert "Envelope" not in [kind for kind, _ in source.peer.sent]
    assert source.at_home


def test_an_encrypted_disk_that_cannot_be_sent_is_refused_before_anything_is_offered(source: Source) -> None:
    """All of it is data, whatever is on it."""
    source.agent.disk_size = 600 << 30
    row = source.run()
    assert (row.status, row.error_code) == ("failed", "too-much-data")
    assert row.error_message.startswith("600 GiB of disks and memory would have to be sent; one migration sends at ")
    assert source.peer.sent == []
    assert source.at_home


def test_a_guest_that_ran_after_sealing_is_never_released(source: Source) -> None:
    source.agent.changed = True
    row = source.run()
    assert (row.phase, row.error_code) == ("withdrawn", "guest-ran")
    assert source.at_home


def test_a_refusal_by_the_peer_ends_it_with_the_peers_reason(source: Source) -> None:
    source.peer.decision = protocol.Refused("no-room", "no room for 128 MiB")
    row = source.run()
    assert (row.phase, row.status, row.error_code, row.fault) == ("refused", "refused", "no-room", "peer")
    assert source.at_home
    assert source.nova.paused == 0


@pytest.mark.parametrize("kind", ["Offer", "TokenAB", "Envelope", "Transfer"])
def test_an_unsigned_refusal_before_the_commit_ends_it(source: Source, kind: str) -> None:
    source.peer.instead[kind] = [errors.RefusedByPeer("no", code="gave-up")]
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "failed", "gave-up")
    assert source.at_home


def test_a_peer_cannot_say_in_its_refusal_that_our_operator_has_aborted(source: Source) -> None:
    source.peer.instead["TokenAB"] = [errors.RefusedByPeer("no", code="aborted")]
    row = source.run()
    assert (row.phase, row.status, row.error_code, row.fault) == ("withdrawn", "failed", "aborted", "peer")


@pytest.mark.parametrize("kind", ["Offer", "TokenAB", "Transfer"])
@pytest.mark.parametrize("answer", [None, b"<NotSigned/>", OTHERS], ids=["nothing", "not-signed", "another-session"])
def test_an_answer_that_is_not_the_answer_ends_it(source: Source, kind: str, answer: bytes | None) -> None:
    source.peer.instead[kind] = [Answer(True, answer)]
    row = source.run()
    assert (row.phase, row.fault) == ("withdrawn", "peer")
    assert source.at_home


@pytest.mark.parametrize("call", ["mam.nonce", "km.wrap", "edm.start_source", "edm.wait", "edm.stop_and_finish"])
def test_an_abort_before_the_commit_is_honoured(source: Source, call: str) -> None:
    source.before(call, source.abort)
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "aborted", "aborted")
    assert source.at_home


def test_an_abort_that_nobody_has_heeded_before_something_failed_is_still_one(source: Source) -> None:
    source.recorder.failing |= {"edm.start_source": errors.AgentLost("it was restarted")}
    source.before("edm.start_source", source.abort)
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "aborted", "aborted")
    assert "it was restarted" in (row.error_message or "")


def test_an_abort_at_the_last_moment_before_the_commit_is_honoured(source: Source) -> None:
    original = source.peer._transfer

    def prepared() -> str:
        source.abort()
        return original()

    source.peer._transfer = prepared  # type: ignore[method-assign]
    assert source.run().phase == "withdrawn"
    assert source.at_home
    assert "Release" not in source.documents


def test_the_offers_lifetime_ends_what_was_not_released(source: Source) -> None:
    def expire() -> None:
        with database.session() as session:
            migrations.get(session, source.id).not_after = datetime.now(UTC) - timedelta(seconds=1)

    source.before("edm.start_source", expire)
    row = source.run()
    assert (row.phase, row.error_code) == ("withdrawn", "offer-expired")
    assert source.at_home


def test_a_peer_that_cannot_be_told_of_the_withdrawal_does_not_hold_up_the_server(source: Source) -> None:
    source.recorder.failing["km.seal_signature"] = BROKEN
    source.peer.instead["Closure"] = [errors.PeerUnreachable("away")]
    row = source.run()
    assert (row.phase, row.status, row.running_server_id) == ("telling", "failed", None)
    assert source.at_home


def test_an_agent_that_is_away_does_not_hold_up_the_withdrawal(source: Source) -> None:
    source.recorder.failing |= {"edm.wait": BROKEN, "edm.abort": errors.AgentLost("away")}
    assert source.run().phase == "withdrawn"
    assert source.nova.status == "ACTIVE"
    assert not source.nova.locked


def test_a_withdrawal_is_tried_until_it_succeeds(source: Source) -> None:
    source.recorder.failing |= {"edm.manifest": BROKEN, "servers.unpause": errors.HostError("Nova is away")}

    def back() -> None:
        source.before("servers.unpause", lambda: source.recorder.failing.pop("servers.unpause"))

    source.before("servers.unpause", back)
    assert source.run().phase == "withdrawn"
    assert source.at_home
    assert source.recorder.calls.count("servers.unpause") == 2


def test_a_server_that_an_administrator_deleted_does_not_hold_up_its_keys(source: Source) -> None:
    source.recorder.failing["edm.manifest"] = BROKEN
    source.before("edm.manifest", lambda: source.nova.delete("", 1))
    row = source.run()
    assert (row.phase, row.status) == ("withdrawn", "failed")
    assert "servers.unpause" not in source.recorder.calls
    assert set(source.km.stored) == {"eik"}


def test_whoever_moved_the_row_on_is_believed(source: Source) -> None:
    def somebody_else() -> None:
        with database.session() as session:
            row = migrations.get(session, source.id)
            migrations.advance(session, source.id, row.phase, row.generation, row.phase)

    source.before("km.wrap", somebody_else)
    row = source.run()
    assert row.phase == "closed"
    assert source.recorder.calls.count("km.wrap") == 2
    assert source.documents.count("Envelope") == 1


@pytest.mark.parametrize("call", ["servers.check_compute", "edm.check_removed"])
def test_removed_is_signed_only_when_the_server_is_gone_from_its_host(source: Source, call: str) -> None:
    """Nova deletes a server whose nova-compute is away from its database only; the host keeps it."""
    source.recorder.failing[call] = errors.ServiceUnavailable("nova-compute does not report")
    seen: list[list[str]] = []

    def back() -> None:
        seen.append(source.documents)
        source.recorder.failing.pop(call, None)
        if len(seen) == 1:
            source.recorder.failing[call] = errors.ServiceUnavailable("still not")
            source.before(call, back)

    source.before(call, back)
    assert source.run().phase == "closed"
    assert source.recorder.calls.count(call) >= 2
    assert all("Closure" not in documents for documents in seen)
