# SPDX-License-Identifier: Apache-2.0
"""The arriving server's port: nothing speaks for its MAC address before the guest runs, and its owner is told."""

from __future__ import annotations

import dataclasses

import pytest

from sv2m import errors
from sv2m import protocol as p
from sv2m.api.migrations import view
from tests.protocol import clouds
from tests.unit.engine.arriving import Destination
from tests.unit.engine.leaving import Source

MAC = "fa:16:3e:00:00:01"


def ups(destination: Destination) -> list[bool]:
    return [port["up"] for ports in destination.neutron.ports.values() for port in ports]


def test_the_port_is_down_until_the_guest_runs(destination: Destination) -> None:
    """The placeholder boots, and asks for an address, while A's guest runs under this MAC address."""
    destination.source.run("Transfer")
    assert ups(destination) == [False]
    destination.source.run()
    destination.carry_on()
    assert ups(destination) == [True]
    calls = destination.recorder.calls
    assert calls.index("edm.resume") < calls.index("ports.put_up") < calls.index("servers.mark_arrived")


def test_neither_the_guest_nor_the_receipt_waits_for_neutron(destination: Destination) -> None:
    destination.recorder.failing["ports.put_up"] = errors.ServiceUnavailable("Neutron: no answer")
    destination.source.run()
    row = destination.carry_on()
    assert (row.status, destination.runs) == ("completed", True)
    # When the port is given to its owner it is put up, too; that is repeated until Neutron does it.
    assert ups(destination) == [True]


def test_the_owner_is_told_of_a_port_that_lets_nothing_through(destination: Destination) -> None:
    destination.source.run()
    row = destination.carry_on()
    ((port,),) = destination.neutron.ports.values()
    assert port["group"] == f"empty-{row.id}"
    assert f"its security group, sv2m-arrived-{row.id}, has no rules" in view(row, "")["notice"]


def test_where_the_operator_names_a_group_there_is_nothing_to_tell(destination: Destination) -> None:
    destination.services.conf.set_override("landing_security_group", "default", "engine")
    try:
        destination.source.run()
        row = destination.carry_on()
    finally:
        destination.services.conf.clear_override("landing_security_group", "engine")
    ((port,),) = destination.neutron.ports.values()
    assert (port["group"], view(row, "")["notice"]) == ("default", None)


def test_the_owner_is_told_of_a_network_that_filters_nothing(destination: Destination) -> None:
    destination.neutron.filters = False
    destination.source.run()
    assert "Nothing filters" in view(destination.carry_on(), "")["notice"]


def test_of_what_did_not_arrive_there_is_nothing_to_tell(destination: Destination) -> None:
    destination.source.run("Transfer")
    destination.post(destination.source.withdrawal())
    row = destination.carry_on()
    assert destination.untouched
    assert view(row, "")["notice"] is None


def test_a_mac_address_that_is_taken_is_refused_at_the_offer(destination: Destination) -> None:
    destination.neutron.others.update(nic["mac"] for nic in clouds.NEEDS["nics"])
    destination.source.run("TokenAB")
    decision = destination.source.side.transcript["TokenBA2"].message.decision
    assert isinstance(decision, p.Refused) and decision.code == "mac-in-use"
    assert "MAC address" in decision.reason
    assert destination.carry_on().status == "refused"
    assert destination.untouched


def test_a_mac_address_that_is_taken_meanwhile_is_told_too(destination: Destination) -> None:
    destination.source.run("TokenAB")
    destination.neutron.others.update(nic["mac"] for nic in clouds.NEEDS["nics"])
    with pytest.raises(errors.RefusedByPeer, match="MAC address"):
        destination.source.run("Envelope")
    assert destination.carry_on().error_code == "mac-in-use"
    assert destination.untouched


@dataclasses.dataclass(frozen=True)
class Port:
    id: str
    mac_address: str


def test_the_owner_is_told_of_ports_that_stay_behind(source: Source) -> None:
    """As Heat and Terraform make them. On the way back they would be in the way."""
    source.neutron.owners = [Port("port-of-heat", MAC)]
    row = source.run()
    assert row.status == "completed"
    assert f"port-of-heat ({MAC})" in view(row, "")["notice"]
    assert source.neutron.owners
