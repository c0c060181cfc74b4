# SPDX-License-Identifier: Apache-2.0
"""What Nova left on the host of a placeholder that it calls deleted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sv2m.errors import Conflict
from tests.agent.conftest import World

_XML = """
<domain type='qemu'>
  <name>{id}</name><uuid>{id}</uuid><memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
</domain>
"""


@pytest.fixture
def domain(world: World) -> Iterator[Any]:
    """A domain at B that runs."""
    connection = world.hosts.b.connect()
    made = connection.defineXML(_XML.format(id=uuid.uuid4()))
    made.create()
    yield made
    if made.UUIDString() in _domains(connection):
        world.hosts.b.remove(made)
    connection.close()


def test_a_domain_that_is_shut_off_goes_with_its_saved_state(world: World, domain: Any) -> None:
    domain.managedSave()
    world.b.call("discard", server_id=domain.UUIDString())
    assert domain.UUIDString() not in _domains(domain.connect())
    world.b.call("discard", server_id=domain.UUIDString())


def test_one_that_runs_stays(world: World, domain: Any) -> None:
    with pytest.raises(Conflict, match="is deleted in Nova and still on this host"):
        world.b.call("discard", server_id=domain.UUIDString())
    assert domain.isActive()


def _domains(connection: Any) -> set[str]:
    return {domain.UUIDString() for domain in connection.listAllDomains()}
