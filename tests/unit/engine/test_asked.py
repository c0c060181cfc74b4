# SPDX-License-Identifier: Apache-2.0
"""The flow's table names whom each step asks: what the engine's calls are in whole stories, no more and no less."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.engine import flow
from sv2m.gateway.client import Answer
from tests.protocol import clouds
from tests.unit.engine import persons
from tests.unit.engine.arriving import Destination
from tests.unit.engine.leaving import Source
from tests.unit.engine.recorder import Recorder

BROKEN = errors.HostError("broken on purpose", code="broken")
#: Whom the calls of :class:`sv2m.engine.services.Services` go to.
ASKED = {
    "cmm": "CMM",
    "azm": "AZM",
    "lmm": "LMM",
    "mam": "MAM",
    "km": "KM",
    "edm": "EDM",
    "peers": "peer",
    "servers": "Nova",
    "volumes": "Cinder",
    "ports": "Neutron",
}
#: Calls that go elsewhere, or whose module asks another service than its own (KM's is Barbican, LMM's Placement).
OTHERWISE = {
    "volumes.blank_image": {"Glance"},
    "volumes.delete_blank_image": {"Glance"},
    "km.find_eiks": {"KM", "Cinder"},
    "km.check_volume_type": {"KM", "Cinder"},
    "km.import_volume": {"KM", "Cinder", "Glance"},
    "km.remove_imported": {"KM", "Cinder", "Glance"},
    "lmm.hold": {"LMM", "Nova"},
}


def asked(recorder: Recorder) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for call, phase in zip(recorder.calls, recorder.phases, strict=True):
        found[phase] |= OTHERWISE.get(call, {ASKED[call.split(".")[0]]})
    return found


def named(table: Mapping[str, flow.Step], phase: str) -> set[str]:
    return set(table[phase].asks.split(", "))


# -- at the source ----------------------------------------------------------------------------------------------------


def whole(source: Source) -> None:
    source.neutron.ports = ["arrived-with-it"]
    assert source.run().phase == "closed"


def withdrawn(source: Source) -> None:
    source.recorder.failing["edm.manifest"] = BROKEN
    assert source.run().phase == "withdrawn"


def returned(source: Source) -> None:
    source.peer.resumes = False
    assert source.run().phase == "returned"


def refused(source: Source) -> None:
    source.peer.decision = p.Refused("no-room", "full")
    assert source.run().phase == "refused"


def taken_back(source: Source) -> None:
    answered = persons.silent(source, "taken-back")
    source.run()
    source.peer.side.receive(source.kept("Release") or b"")
    receipt = source.peer._release()
    answered.add("Closure")
    source.peer.instead["Closure"] = [Answer(True, source.peer.side.document(receipt))]
    assert persons.later(source).phase == "reclaimed"


def let_go(source: Source) -> None:
    answered = persons.silent(source, "let-go")
    source.neutron.ports = ["arrived-with-it"]
    source.run()
    answered.update(["Release", "Closure"])
    assert persons.later(source).phase == "closed"


def test_whom_a_source_asks(source: Source) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for story in (whole, withdrawn, returned, refused, taken_back, let_go):
        source.begin()
        story(source)
        for phase, words in asked(source.recorder).items():
            found[phase] |= words
    assert found == {phase: named(flow.SOURCE, phase) for phase in flow.SOURCE}


# -- at the destination -----------------------------------------------------------------------------------------------


def arrived(destination: Destination) -> None:
    assert destination.run().phase == "closed"


def arrived_without_a_volume(destination: Destination) -> None:
    disk = {**copy.deepcopy(clouds.NEEDS["disks"][0]), "volume_gb": 0, "encrypted": False, "cipher": "", "key_size": 0}
    destination.source = destination.sender(needs={"disks": [disk]})
    destination.source.run("Envelope")


def undone(destination: Destination) -> None:
    destination.recorder.failing["edm.start_destination"] = BROKEN
    with pytest.raises(errors.RefusedByPeer):
        destination.source.run("Envelope")
    assert destination.carry_on().phase == "undone"


def overtaken_by_the_closure(destination: Destination) -> None:
    """The engine is killed while it tidies up, and the source's last word comes before the next engine."""
    destination.recorder.kill_on = ("resumed", "km.destroy")
    destination.source.run("Release")
    destination.recorder.kill_on = None
    destination.stop()
    destination.start()
    del destination.recorder.calls[:], destination.recorder.phases[:]
    destination.source.run()
    assert destination.carry_on().phase == "closed"


STORIES: list[tuple[Callable[[Destination], None], set[str]]] = [
    (arrived, set(flow.DESTINATION) - {"undoing", "closing"}),
    (arrived_without_a_volume, {"landing"}),
    (undone, {"undoing"}),
    (overtaken_by_the_closure, {"closing"}),
]


def test_whom_a_destination_asks(destination: Destination) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for story, phases in STORIES:
        destination.begin()
        story(destination)
        for phase, words in asked(destination.recorder).items():
            # What comes in while a step is at work is verified by the conductor, not by the step.
            if phase in phases:
                found[phase] |= words
    assert found == {phase: named(flow.DESTINATION, phase) for phase in flow.DESTINATION}
