# SPDX-License-Identifier: Apache-2.0
"""Every transition of the tables, and every one that is not in them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.protocol import segments, states
from tests.protocol.clouds import NOW, PLAN, SUMMARIES, VMK, Pair, ephemeral_key, nonce

ROLES = ("source", "destination")
MESSAGES = sorted(
    {
        trigger
        for table in states.TABLES.values()
        for row in table.values()
        for trigger in row
        if trigger.split(".")[0] in p.KINDS
    }
)
EVENTS = sorted(
    {trigger for table in states.TABLES.values() for row in table.values() for trigger in row} - set(MESSAGES)
)


def _refuse(pair: Pair) -> Iterator[None]:
    pair.b.local(p.RoomRefused(p.Refused("no-room", "full")))
    yield
    pair.a.receive(pair.b.document("TokenBA2"))
    yield


def _withdraw(pair: Pair) -> Iterator[None]:
    pair.a.local(p.Failed("aborted"))
    yield
    pair.a.local(p.Undone(NOW))
    yield
    pair.b.receive(pair.a.document("Closure"))
    yield
    pair.b.local(p.Undone(NOW))
    pair.a.local(p.Told())
    yield


def _close_early(pair: Pair) -> Iterator[None]:
    """A's Closure comes before B has tidied up."""
    pair.a.receive(pair.b.document("Receipt"))
    pair.a.local(p.Removed(NOW))
    pair.b.receive(pair.a.document("Closure"))
    yield


def _return(pair: Pair) -> Iterator[None]:
    pair.b.local(p.Failed("host-died"))
    yield
    # Kept before the Release is known, so that this phase can be tried with one.
    pair.b.receive(pair.a.document("Release"))
    pair.a.receive(pair.b.document("Receipt"))
    yield
    pair.a.local(p.Undone(NOW))
    pair.b.local(p.Undone(NOW))
    yield


def _take_back(pair: Pair) -> Iterator[None]:
    """A person at A decides that B is silent for ever; it is not."""
    pair.a.local(p.TakenBack())
    yield
    pair.a.local(p.Undone(NOW))
    yield
    pair.a.local(p.Told())
    yield


def _let_go(pair: Pair) -> Iterator[None]:
    pair.a.local(p.LetGo())
    yield
    pair.a.local(p.Relinquished())
    yield
    pair.a.local(p.Told())
    yield


@functools.cache
def world() -> tuple[dict[tuple[str, str], Any], dict[str, p.Received]]:
    """One snapshot of every phase of every role, and one well-signed message for every trigger."""
    snapshots: dict[tuple[str, str], Any] = {}
    messages: dict[str, p.Received] = {}

    def look(pair: Pair) -> None:
        for side in (pair.a, pair.b):
            snapshots.setdefault((side.role, side.machine.phase), (side, side.snapshot()[1]))
            for received in side.transcript.values():
                message = received.message
                qualifier = ""
                if isinstance(message, p.TokenBA2):
                    qualifier = f".{type(message.decision).__name__.lower()}"
                elif isinstance(message, (p.Receipt, p.Closure)):
                    qualifier = f".{message.outcome}"
                messages.setdefault(received.kind + qualifier, received)

    happy = Pair()
    look(happy)
    for step in happy.steps:
        look(happy.run(step))
    # The others share the happy pair's history: only then do their messages fit its snapshots.
    for step, ending in (
        ("hear token", _refuse),
        ("land", _withdraw),
        ("commit", _return),
        ("commit", _take_back),
        ("commit", _let_go),
        ("resume", _close_early),
    ):
        pair = _branch(happy, step)
        look(pair)
        for _ in ending(pair):
            look(pair)
    return snapshots, messages


def _branch(happy: Pair, step: str) -> Pair:
    """A second pair that went the same way up to a step: deterministic but for the wrapped keys, which are
    shared.
    """
    pair = Pair()
    pair.keys = lambda: happy.a.machine.message(p.Envelope).keys  # type: ignore[method-assign]
    return pair.run(step)


def machine_in(role: str, phase: str) -> tuple[p.Migration, dict[str, p.Received]]:
    side, transcript = world()[0][role, phase]
    return p.Migration.restore(role, side.identity.name, phase, transcript), transcript


def event(name: str, machine: p.Migration) -> p.Event:
    happy = world()[1]
    b = happy["TokenBA1"].message.destination
    events = {
        "Failed": p.Failed("test"),
        "Undone": p.Undone(NOW),
        "OfferRequested": p.OfferRequested(happy["Offer"].message),
        "TokenDue": p.TokenDue(nonce("A"), NOW),
        "KeysWrapped": p.KeysWrapped(happy["Envelope"].message.keys, PLAN),
        "EnvelopeTaken": p.EnvelopeTaken(),
        "Sealed": p.Sealed(
            SUMMARIES, happy["Transfer"].message.trailer_digest, happy["Transfer"].message.sealed_signature
        ),
        "Committed": p.Committed(NOW),
        "Removed": p.Removed(NOW),
        "Told": p.Told(),
        "ChallengeDue": p.ChallengeDue(b, nonce("B"), NOW),
        "RoomHeld": p.RoomHeld(p.Accepted(ephemeral_key()[0], "192.0.2.1", 4711)),
        "RoomRefused": p.RoomRefused(p.Refused("no-room", "full")),
        "LandingReady": p.LandingReady(),
        "Restored": p.Restored(),
        "Resumed": p.Resumed(NOW),
        "CannotResume": p.CannotResume("gone", NOW),
        "TakenBack": p.TakenBack(),
        "LetGo": p.LetGo(),
        "Relinquished": p.Relinquished(),
        "DeclaredLost": p.DeclaredLost(NOW),
        "DeclaredRunning": p.DeclaredRunning(NOW),
    }
    assert set(events) == set(EVENTS)
    return events[name]


PHASES = [(role, phase) for role in ROLES for phase in states.TABLES[role]]


def test_the_stories_reach_every_phase_and_every_message() -> None:
    snapshots, messages = world()
    assert sorted(snapshots) == sorted(PHASES)
    assert sorted(messages) == MESSAGES


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize(("role", "phase"), PHASES)
def test_every_event_in_every_phase(role: str, phase: str, name: str) -> None:
    machine, transcript = machine_in(role, phase)
    target = states.TABLES[role][phase].get(name)
    if (role, phase, name) == ("source", "offered", "TokenDue"):
        transcript["TokenBA1"] = world()[1]["TokenBA1"]
    if (role, phase, name) == ("destination", "none", "ChallengeDue"):
        transcript["Offer"] = world()[1]["Offer"]
    machine = p.Migration.restore(role, machine.me, phase, transcript)
    if name == "Restored" and target:
        _check_trailer(machine)
    if target is None:
        with pytest.raises(errors.IllegalTransition):
            machine.local(event(name, machine))
        assert machine.phase == phase
    else:
        machine.local(event(name, machine))
        assert machine.phase == target


def _check_trailer(machine: p.Migration) -> None:
    offer = machine.message(p.Offer)
    signature = segments.open_signature(VMK, machine.message(p.Transfer).sealed_signature)
    machine.check_trailer(signature, *p.verify_manifest(signature, offer.source.chain[0]))


@pytest.mark.parametrize("trigger", MESSAGES)
@pytest.mark.parametrize(("role", "phase"), PHASES)
def test_every_message_in_every_phase(role: str, phase: str, trigger: str) -> None:
    machine, transcript = machine_in(role, phase)
    received = world()[1][trigger]
    target = states.TABLES[role][phase].get(trigger)
    taken = transcript.get(received.kind)
    if received.kind not in states.RECEIVES[role]:
        with pytest.raises(errors.UnexpectedMessage):
            machine.receive(received, NOW)
    elif taken is not None and taken.document == received.document:
        machine.receive(received, NOW)
    elif taken is not None:
        with pytest.raises(errors.ReplayedMessage):
            machine.receive(received, NOW)
    elif target is None or (trigger == "Release" and "Prepared" not in transcript):
        with pytest.raises(errors.UnexpectedMessage):
            machine.receive(received, NOW)
    else:
        machine.receive(received, NOW)
        assert machine.phase == target
        return
    assert machine.phase == phase


def test_the_tables_hold_what_makes_a_migration_safe() -> None:
    """Written out by hand, so that a change of the tables that breaks it is noticed."""
    source, destination = states.SOURCE, states.DESTINATION
    by_persons = {role: set(states.PERSONS[role]) for role in ROLES}
    assert set(source["released"]) - by_persons["source"] == {"Receipt.resumed", "Receipt.refused"}
    assert [phase for phase, row in source.items() if "receipted" in row.values()] == ["released", "inquiring"]
    # To the server's running at A lead B's signed refusal, or a person; and a person's decision is for ever.
    assert [phase for phase, row in source.items() if "returning" in row.values()] == ["released"]
    assert [phase for phase, row in source.items() if "reclaiming" in row.values()] == ["released"]
    assert reachable("source", "reclaiming") == {"reclaiming", "reporting", "reclaimed"}
    assert not reachable("source", "relinquishing") & {"returning", "reclaiming", "withdrawing"}
    assert [phase for phase, row in source.items() if "released" in row.values()] == ["prepared"]
    ours = set(destination["resuming"]) - by_persons["destination"]
    assert ours == {"Resumed", "CannotResume", "Closure.taken-back"}
    assert destination["resuming"]["Closure.taken-back"] == "resuming"
    for role, table in states.TABLES.items():
        decided = {phase for phase, row in table.items() if by_persons[role] & set(row)}
        assert decided == {"source": {"released"}, "destination": {"resuming"}}[role]
    assert [phase for phase, row in destination.items() if "resuming" in row.values()] == ["prepared", "resuming"]
    assert [phase for phase, row in destination.items() if "resumed" in row.values()] == ["resuming"]
    assert destination["prepared"]["Release"] == "resuming"
    assert set(destination["undoing"].values()) | set(destination["undone"].values()) == {"undoing", "undone"}
    for phase in states.FINAL["source"]:
        assert source[phase] == {}


def reachable(role: str, phase: str) -> set[str]:
    found = {phase}
    for _ in states.TABLES[role]:
        found |= {target for one in found for target in states.TABLES[role][one].values()}
    return found


@pytest.mark.parametrize("role", ROLES)
def test_every_phase_is_reached_and_every_target_is_a_phase(role: str) -> None:
    table = states.TABLES[role]
    reached = {states.FIRST[role]}
    for _ in table:
        reached |= {target for phase in reached for target in table[phase].values()}
    assert reached == set(table)
    for phase in states.FINAL[role]:
        assert set(table[phase].values()) <= set(states.FINAL[role])


@pytest.mark.parametrize("role", ROLES)
def test_the_diagram_has_every_transition(role: str) -> None:
    diagram = states.mermaid(role)
    for phase, row in states.TABLES[role].items():
        for trigger, target in row.items():
            assert any(
                line.strip().startswith(f"{phase} --> {target}: ") and trigger in line
                for line in diagram.splitlines()
            )


@pytest.mark.parametrize("role", ROLES)
def test_the_documentation_shows_the_tables(role: str) -> None:
    documentation = Path(__file__).resolve().parents[2] / "doc" / "protocol-states.md"
    assert f"```mermaid\n{states.mermaid(role)}```" in documentation.read_text()
