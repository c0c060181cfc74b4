# SPDX-License-Identifier: Apache-2.0
"""What B could never land it refuses at the offer: signed, before it has any key, and with nothing left."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sv2m import errors
from sv2m import protocol as p
from tests.protocol import clouds
from tests.unit.engine.arriving import Destination

NEEDS = copy.deepcopy(clouds.NEEDS)
NIC = NEEDS["nics"][0]
DISK = NEEDS["disks"][0]


@pytest.mark.parametrize(
    ("needs", "make_unfit", "code", "word"),
    [
        ({"firmware": "uefi"}, lambda b: None, errors.ServerNotMovable.code, "firmware uefi"),
        ({"nics": [NIC, {**NIC, "index": 1}]}, lambda b: None, errors.ServerNotMovable.code, "2 network interfaces"),
        ({}, lambda b: b.neutron.networks.clear(), errors.ServerNotMovable.code, "does not see the network"),
        ({}, lambda b: b.km.ciphers.clear(), errors.NoRoom.code, "aes-xts-plain64"),
        ({}, lambda b: setattr(b.nova, "quota", 64), errors.NoRoom.code, "MiB of memory (128 wanted)"),
        ({}, lambda b: setattr(b.glance, "quota", 0), errors.NoRoom.code, "Cinder's of GiB"),
        ({}, lambda b: setattr(b.neutron, "quota", 0), errors.NoRoom.code, "ports (1 wanted), security groups"),
        ({"disks": [{**DISK, "volume_gb": 0}]}, lambda b: None, errors.ServerNotMovable.code, "not a volume"),
        ({"disks": [{**DISK, "cipher": "aes-cbc"}]}, lambda b: None, errors.ServerNotMovable.code, "aes-cbc with 256"),
        ({"disks": [{**DISK, "key_size": 320}]}, lambda b: None, errors.ServerNotMovable.code, "with 320 bits"),
        ({"disks": [{**DISK, "size": 600 << 30}]}, lambda b: None, "too-much-data", "600 GiB"),
    ],
)
def test_refused_at_the_offer(
    destination: Destination, needs: dict[str, Any], make_unfit: Callable[[Destination], None], code: str, word: str
) -> None:
    make_unfit(destination)
    destination.source = destination.sender(needs=needs)
    destination.source.run("TokenAB")
    decision = destination.source.side.transcript["TokenBA2"].message.decision
    assert isinstance(decision, p.Refused) and decision.code == code
    assert word in decision.reason
    assert destination.carry_on().status == "refused"
    assert destination.untouched


@pytest.mark.parametrize("call", ["servers.check_quota", "volumes.check_quota", "ports.check_quota"])
@pytest.mark.parametrize("error", [errors.HostError("403"), errors.NotFound("no such extension")])
def test_a_quota_that_cannot_be_known_refuses_nobody(
    destination: Destination, call: str, error: errors.SV2MError
) -> None:
    destination.recorder.failing[call] = error
    destination.source.run()
    assert destination.carry_on().status == "completed"


def test_what_is_wrong_inside_is_not_told_to_the_other_cloud(destination: Destination) -> None:
    destination.recorder.failing["servers.create_placeholder"] = errors.HostError("compute-7.internal is on fire")
    with pytest.raises(errors.RefusedByPeer) as refused:
        destination.source.run("Envelope")
    assert "compute-7" not in str(refused.value) and "reason of its own" in str(refused.value)
    assert "compute-7" in destination.carry_on().error_message
