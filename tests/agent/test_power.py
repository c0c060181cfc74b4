# SPDX-License-Identifier: Apache-2.0
"""Whether a server goes on, whatever Nova takes it for."""

from __future__ import annotations

import uuid

import pytest

from sv2m.errors import NotFound
from tests.agent.conftest import World


def test_the_host_says_whether_a_server_goes_on(world: World) -> None:
    def power(server_id: str) -> str:
        return str(world.a.call("power", server_id=server_id)["power"])

    domain = world.server.domain
    assert power(world.server.id) == "running"
    domain.suspend()
    assert power(world.server.id) == "paused"
    domain.resume()
    assert power(world.server.id) == "running"
    with pytest.raises(NotFound, match="no domain of server"):
        power(str(uuid.uuid4()))
