# SPDX-License-Identifier: Apache-2.0
"""Which volume type an arriving disk gets: the one that the agreement names for its kind, else the cloud's choice."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sv2m.db import engine as database
from sv2m.db import peers
from tests.protocol import clouds
from tests.unit.engine.arriving import Destination
from tests.unit.engine.surroundings import SOURCE

AGREED = {"aes-xts-plain64-256": "luks-fast", "plain": "hdd"}


def plain_disk() -> dict[str, Any]:
    disk = copy.deepcopy(clouds.NEEDS)["disks"][0]
    return {"disks": [{**disk, "encrypted": False, "cipher": "", "key_size": 0}]}


def test_a_disk_that_fills_its_volume_gets_room_for_the_header_here(destination: Destination) -> None:
    """A keeps the header elsewhere: what the guest sees is a whole number of GiB."""
    disk = copy.deepcopy(clouds.NEEDS)["disks"][0]
    destination.source = destination.sender(needs={"disks": [{**disk, "size": disk["volume_gb"] << 30}]})
    destination.source.run("Transfer")
    assert set(destination.km.sizes.values()) == {disk["volume_gb"] + 1}


@pytest.mark.parametrize(
    ("agreed", "needs", "taken"),
    [
        (AGREED, {}, "luks-fast"),
        (AGREED, plain_disk(), "hdd"),
        ({"aes-xts-plain64-512": "luks-slow"}, {}, None),
        ({}, plain_disk(), None),
    ],
)
def test_the_agreements_volume_type(
    destination: Destination, agreed: dict[str, str], needs: dict[str, Any], taken: str | None
) -> None:
    with database.session() as session:
        peers.update(session, SOURCE.name, volume_type_map=agreed)
    destination.source = destination.sender(needs=needs)
    destination.source.run("Transfer")
    assert destination.km.volume_types == {destination.source.offer.migration_id: taken}
