# SPDX-License-Identifier: Apache-2.0
"""Where nobody is left who could sign, a person decides; whoever may know better is asked first, and is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.db import audit, messages
from sv2m.db import engine as database
from sv2m.engine.destination import resume, undo
from sv2m.engine.work import Work
from sv2m.gateway.client import Answer
from tests.unit.engine.arriving import HOST, Destination
from tests.unit.engine.leaving import Source
from tests.unit.engine.persons import decide, later, silent
from tests.unit.engine.recorder import Killed

AWAY = errors.PeerUnreachable("no route")


def declared(row: Any, kind: str) -> p.Declaration | None:
    with database.session() as session:
        kept = messages.find(session, row.id, f"declaration-{kind}")
    return None if kept is None else p.decode_declaration(kept.document)


def events(row: Any) -> list[str]:
    with database.session() as session:
        return [one.line for one in audit.list_for(session, row.id)]


# -- at the source: the destination is silent for ever
# ----------------------------------------------------------------------------------------------------


def test_a_server_is_taken_back_and_goes_on_as_if_it_had_been_refused(source: Source) -> None:
    silent(source, "taken-back")
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("reporting", "failed", "taken-back")
    assert source.at_home
    said = declared(row, "taken-back")
    assert said is not None
    assert (said.cloud, said.reason) == ("cloud-a.sv2m", "the other side's site has burnt down")
    assert said.release_digest != p.NOTHING and said.receipt_digest == p.NOTHING
    assert "u" not in vars(said).values()


def test_nothing_of_the_server_moves_before_the_decision_is_durable(source: Source) -> None:
    silent(source, "taken-back")
    phases: list[str] = []
    source.before("servers.unpause", lambda: phases.append(source.row.phase))
    row = source.run()
    assert phases == ["reclaiming"] and declared(row, "taken-back")


def test_a_destination_that_comes_back_is_told_that_the_server_was_taken_back(source: Source) -> None:
    answered = silent(source, "taken-back")
    source.run()
    answered.add("Closure")
    row = later(source)
    assert (row.phase, row.status, row.error_code) == ("reclaimed", "failed", "taken-back")
    closure = p.decode(source.kept("Closure") or b"")
    assert isinstance(closure, p.Closure) and closure.outcome == "taken-back"
    assert source.at_home


@pytest.mark.parametrize(("resumes", "code"), [(True, "two-copies"), (False, "taken-back")])
def test_a_receipt_that_comes_too_late_is_kept_and_shown_and_moves_nothing(
    source: Source, resumes: bool, code: str
) -> None:
    silent(source, "taken-back")
    source.run()
    source.peer.resumes = resumes
    source.peer.side.receive(source.kept("Release") or b"")
    source.peer._release()
    receipt = source.peer.side.document("Receipt")
    source.peer.send = lambda url, ca, document: Answer(True, receipt)  # type: ignore[method-assign]
    row = later(source)
    assert (row.phase, row.error_code) == ("reclaimed", code)
    assert source.kept("Receipt") == receipt
    assert source.at_home


def test_a_destination_that_answers_is_believed_and_the_decision_is_nothing(source: Source) -> None:
    source.peer.instead["Release"] = [AWAY]
    once_released(source, "taken-back")
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("closed", "completed", None)
    assert source.gone and declared(row, "taken-back") is None


def once_released(source: Source, kind: str) -> None:
    """A person decides as soon as the Release is there."""

    def send(url: str, ca: str, document: bytes) -> Answer:
        if p.peek(document).kind == "Release" and not decided:
            decided.append(kind)
            decide(source.row, kind)
        return honest(url, ca, document)

    decided: list[str] = []
    honest = source.peer.send
    source.peer.send = send  # type: ignore[method-assign]


def test_a_destination_that_is_at_work_has_people_of_its_own(source: Source) -> None:
    source.peer.instead["Release"] = [AWAY, Answer(False, None)]
    once_released(source, "taken-back")
    row = source.run()
    assert (row.phase, row.error_code) == ("closed", None)
    assert any('"decision-dropped"' in line for line in events(row))
    assert "servers.unpause" not in source.recorder.calls


def test_a_receipt_that_cannot_be_judged_today_is_no_silence(source: Source) -> None:
    """A service of our own is away when the Receipt comes: it may be good, so the decision waits."""
    unknown = errors.HostError("no list", code="revocation-unknown")
    source.recorder.once["released", "cmm.check_keys"] = [unknown, unknown]
    once_released(source, "taken-back")
    row = source.run()
    assert (row.phase, row.status) == ("closed", "completed")
    assert "servers.unpause" not in source.recorder.calls


def test_a_server_that_is_let_go_is_gone_and_the_destination_is_still_asked(source: Source) -> None:
    answered = silent(source, "let-go")
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("inquiring", "completed", "let-go")
    assert source.gone and declared(row, "let-go")
    answered.update(["Release", "Closure"])
    row = later(source)
    assert (row.phase, row.status) == ("closed", "completed")
    closure = p.decode(source.kept("Closure") or b"")
    assert isinstance(closure, p.Closure) and closure.outcome == "removed"


def test_a_refusal_after_the_server_was_let_go_is_shown(source: Source) -> None:
    answered = silent(source, "let-go")
    source.run()
    source.peer.resumes = False
    answered.add("Release")
    row = later(source)
    assert (row.phase, row.error_code) == ("relinquished", "let-go")
    assert "host-died" in row.error_message and source.gone


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(
    ("phase", "call"),
    [
        ("released", "mam.sign"),
        ("reclaiming", "servers.unpause"),
        ("reclaiming", "servers.unlock"),
        ("reclaiming", "km.destroy"),
        ("reclaiming", "mam.sign"),
    ],
)
def test_a_kill_amid_a_taking_back(source: Source, phase: str, call: str, after_effect: bool) -> None:
    silent(source, "taken-back")
    source.recorder.kill_on, source.recorder.kill_after_effect = (phase, call), after_effect
    with pytest.raises(Killed):
        source.run()
    source.recorder.kill_on = None
    source.stop()
    source.start()
    row = source.run()
    assert (row.phase, row.status) == ("reporting", "failed") and source.at_home


# -- at the destination: the host is lost between Prepared and the Receipt
# ----------------------------------------------------------------------------------------------------


def released(destination: Destination, kind: str | None = None, *, nova: bool = False, **host: Any) -> Work:
    """A's Release is here, the host is lost, and a person decides. Nobody has looked at it yet.

    :param nova: whether its nova-compute reports. :param host: see :func:`lose_host`.
    """
    destination.source.run("Transfer")
    lose_host(destination, **host)

    def check_compute(host: str) -> None:
        if not nova:
            raise errors.ServiceUnavailable("nova-compute does not report")

    destination.nova.check_compute = check_compute  # type: ignore[attr-defined]
    hand_over(destination, destination.source.make("Release"))
    if kind is not None:
        decide(destination.row, kind, "host b7 was scrapped")
    return work_of(destination)


def hand_over(destination: Destination, document: bytes) -> None:
    """A message is taken, and no worker does anything yet."""
    destination.conductor._take(work_of(destination), document, p.peek(document).kind)


def work_of(destination: Destination) -> Work:
    assert destination.workers is not None
    return Work(destination.services, destination.source.id, destination.workers.stopping)


def lose_host(destination: Destination, *, silent: bool, journal: str = "unknown", power: str = "off") -> None:
    """Its agent does not answer; or it has a new disk, and knows what its journal and hypervisor say."""
    agent = destination.agent

    def lost(*args: Any, **kwargs: Any) -> Any:
        raise errors.AgentLost("sv2m-agent on compute-b does not answer")

    for name in ("check_restored", "resume", *(("status", "power", "abort", "forget") if silent else ())):
        setattr(agent, name, lost)
    if not silent:
        known = {"state": journal, "seq": 0, "bytes_done": 0, "bytes_total": 0, "error": None}
        agent.status = lambda *args: known  # type: ignore[method-assign]
        agent.power = lambda *args: power  # type: ignore[attr-defined]


def receipt_of(destination: Destination) -> p.Receipt:
    """What B answers to the Release from now on."""
    answer = destination.post(destination.source.side.document("Release"))
    received = destination.source.hear("Release", answer)
    assert isinstance(received, p.Receipt)
    return received


def test_a_guest_is_declared_lost_with_its_host(destination: Destination) -> None:
    released(destination, "lost", silent=True)
    row = destination.carry_on()
    assert (row.phase, row.status, row.error_code) == ("undone", "failed", "declared-lost")
    receipt = receipt_of(destination)
    assert (receipt.outcome, receipt.reason) == ("refused", "declared-lost")
    said = declared(row, "lost")
    assert said is not None and said.reason == "host b7 was scrapped"
    assert said.receipt_digest == destination.source.side.machine.digest(p.Receipt)
    assert not destination.nova.servers and not destination.km.stored
    assert destination.agent.runs == 0


def test_a_guest_whose_host_has_a_new_disk_is_declared_lost(destination: Destination) -> None:
    released(destination, "lost", silent=False, nova=True)
    assert destination.carry_on().phase == "undone"
    assert receipt_of(destination).reason == "declared-lost"


@pytest.mark.parametrize("power", ["running", "off"])
def test_a_guest_is_declared_running(destination: Destination, power: str) -> None:
    """One that ran and has ended since is B's all the same: A's is an older state of it."""
    released(destination, "running", silent=False, power=power)
    row = destination.carry_on()
    assert (row.phase, row.status, row.error_code) == ("settled", "completed", None)
    receipt = receipt_of(destination)
    assert (receipt.outcome, receipt.reason) == ("resumed", "declared-running")
    (server,) = destination.nova.servers.values()
    assert server["status"] == "ACTIVE" and server["arrived"] and not server["locked"]
    assert declared(row, "running")


@pytest.mark.parametrize(
    ("kind", "host"),
    [
        ("lost", {"silent": True, "nova": True}),
        ("lost", {"silent": False, "journal": "restored"}),
        ("lost", {"silent": False, "power": "running"}),
        ("lost", {"silent": False, "power": "paused"}),
        ("running", {"silent": False, "power": "paused"}),
        ("running", {"silent": False, "journal": "failed"}),
    ],
)
def test_who_knows_better_is_believed_instead(destination: Destination, kind: str, host: dict[str, Any]) -> None:
    with pytest.raises(errors.Conflict):
        resume(released(destination, kind, **host))
    row = destination.row
    assert (row.phase, row.error_code) == ("resuming", "decision-dropped")
    assert row.state["decision"] is None and declared(row, kind) is None
    assert "Receipt" not in destination.documents


def test_what_bears_the_mark_of_an_arrival_is_not_lost(destination: Destination) -> None:
    work = released(destination, "lost", silent=True)
    destination.nova.mark_arrived(work.state["server_id"], work.id)
    with pytest.raises(errors.Conflict):
        resume(work)
    assert destination.row.error_code == "decision-dropped" and "Receipt" not in destination.documents


def test_a_host_that_comes_back_with_the_guest_running_is_told_of_loudly(destination: Destination) -> None:
    work = released(destination, "lost", silent=True)
    resume(work)

    def runs(*args: Any) -> Any:
        raise errors.Conflict("the guest runs here already; it cannot be undone any more")

    destination.agent.abort = runs  # type: ignore[method-assign]
    destination.agent.power = lambda *args: "running"  # type: ignore[attr-defined]
    with pytest.raises(errors.Conflict):
        undo(work_of(destination))
    assert (destination.row.phase, destination.row.error_code) == ("undoing", "two-copies")
    assert destination.nova.servers, "nothing is removed under a guest that runs"
    destination.agent.power = lambda *args: "off"  # type: ignore[attr-defined]
    assert destination.carry_on().phase == "undone" and not destination.nova.servers


def test_a_host_that_comes_back_later_is_looked_at(destination: Destination) -> None:
    released(destination, "lost", silent=True)
    assert destination.carry_on().phase == "undone"
    aborted: list[str] = []
    destination.agent.abort = lambda context, host, migration: aborted.append(host)  # type: ignore[method-assign]
    destination.tidy(timedelta(minutes=1))
    assert aborted == [HOST]


# -- at the destination: the source has taken its server back
# ----------------------------------------------------------------------------------------------------


def taken_back(destination: Destination) -> bytes:
    """A's signed word that it took its server back."""
    source = destination.source.side
    if source.machine.phase == "transferred":
        source.receive(destination.source.side.document("Prepared"))
    source.local(p.Committed(datetime.now(UTC)))
    source.local(p.TakenBack())
    source.local(p.Undone(datetime.now(UTC)))
    return source.document("Closure")


def test_what_was_prepared_is_undone_and_a_late_release_is_refused(destination: Destination) -> None:
    destination.source.run("Transfer")
    assert destination.post(taken_back(destination)) is None
    row = destination.carry_on()
    assert (row.phase, row.error_code) == ("undone", "taken-back") and destination.untouched
    refusal = p.decode(destination.post(destination.source.side.document("Release")) or b"")
    assert isinstance(refusal, p.Receipt) and refusal.outcome == "refused"


def test_what_runs_goes_on_and_the_receipt_is_the_answer(destination: Destination) -> None:
    destination.source.run("Transfer")
    closure = taken_back(destination)
    receipt = destination.post(destination.source.side.document("Release"))
    assert destination.post(closure) == receipt
    row = destination.carry_on()
    assert (row.phase, row.status, row.error_code) == ("closed", "completed", "two-copies")
    assert destination.whole


@pytest.mark.parametrize("runs", [False, True])
def test_what_has_not_run_yet_never_does(destination: Destination, runs: bool) -> None:
    destination.source.run("Transfer")
    closure = taken_back(destination)
    hand_over(destination, destination.source.side.document("Release"))
    hand_over(destination, closure)
    if runs:
        # An engine was killed when the guest ran, and before it could say so.
        destination.agent.resume({}, HOST, destination.source.id, "")
    row = destination.carry_on()
    answer = p.decode(destination.post(closure) or b"")
    assert isinstance(answer, p.Receipt)
    if runs:
        assert (answer.outcome, row.phase, row.error_code) == ("resumed", "settled", "two-copies")
        assert destination.whole
    else:
        assert (answer.outcome, answer.reason, row.phase) == ("refused", "taken-back", "undone")
        assert destination.untouched


# -- at either: the peer's key was reported as compromised after the commit
# ----------------------------------------------------------------------------------------------------

STOLEN = errors.PeerKeyCompromised("the peer's key was stolen")


def test_a_key_is_accepted_and_that_is_signed_with_the_receipt_that_it_is_of(source: Source) -> None:
    source.recorder.once["released", "cmm.check_keys"] = [STOLEN]
    once_released(source, "accept-key")
    row = source.run()
    assert (row.phase, row.status, row.error_code) == ("closed", "completed", None)
    said = declared(row, "accept-key")
    assert said is not None and said.receipt_digest == source.peer.side.machine.digest(p.Receipt)


def test_a_server_is_taken_back_from_a_peer_whose_key_was_stolen(source: Source) -> None:
    """Nobody can say who has signed that Receipt, and A's people do not accept it."""
    source.recorder.failing["cmm.check_keys"] = STOLEN
    once_released(source, "taken-back")
    row = source.run()
    assert row.status == "failed" and source.at_home
    assert declared(row, "taken-back") and source.kept("Receipt") is None


def test_b_accepts_a_key_and_the_release_with_it(destination: Destination) -> None:
    destination.source.run("Transfer")
    release = destination.source.make("Release")
    destination.recorder.once["prepared", "cmm.check_keys"] = [STOLEN]
    with pytest.raises(errors.PeerKeyCompromised):
        destination.post(release)
    assert destination.phase == "prepared"
    decide(destination.row, "accept-key")
    assert destination.post(release)
    said = declared(destination.carry_on(), "accept-key")
    assert said is not None and said.release_digest == destination.source.side.machine.digest(p.Release)
    assert destination.runs
