# SPDX-License-Identifier: Apache-2.0
"""The agent of a host reads a job's keys while it takes them up, and no others, and not for longer."""

from __future__ import annotations

from sv2m import errors
from tests.unit.engine.arriving import Destination
from tests.unit.engine.leaving import Source

BROKEN = errors.HostError("broken on purpose", code="broken")


def test_the_sources_agent_reads_vmk_alone_and_only_until_it_has_begun(source: Source) -> None:
    source.run()
    assert source.agent.read == {f"vmk-{source.id}"}
    assert not any(source.km.readers.values())
    stopped = source.recorder.calls.index("servers.pause")
    assert "km.withdraw" in source.recorder.calls[:stopped]


def test_the_destinations_agent_reads_vmk_and_eiks_and_never_ekb(destination: Destination) -> None:
    destination.run()
    assert destination.agent.read == {f"VMK-{destination.source.id}", f"EIK-0-{destination.source.id}"}
    assert not any(destination.km.readers.values())


def test_what_was_lent_is_taken_back_from_an_agent_that_fails(source: Source) -> None:
    source.recorder.failing["edm.start_source"] = BROKEN
    assert source.run().error_code == "broken"
    assert not any(source.km.readers.values())


def test_a_key_that_cannot_be_taken_back_keeps_no_server_from_moving(source: Source) -> None:
    """It goes with the key, which is destroyed at the end."""
    source.recorder.failing["km.withdraw"] = errors.KeyManagerError("away")
    assert source.run().status == "completed"
    assert not source.km.readable("agent of host-a")
