# SPDX-License-Identifier: Apache-2.0
"""Those inside: operators whose rights end, policies that break, tenants who prepare a trap."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from sv2m import errors
from sv2m import protocol as p
from tests.attacks.cloud_a import CloudA
from tests.attacks.cloud_b import PROJECT, CloudB
from tests.attacks.federation import A
from tests.unit.engine.arriving import HOST
from tests.unit.engine.recorder import Killed


def test_a_role_that_was_taken_away_before_the_engine_began(a: CloudA) -> None:
    a.recorder.failing["azm.may_start"] = errors.PolicyError("rule secure_migration:create does not allow it")
    row = a.run()
    assert (row.phase, row.status, row.error_code) == ("withdrawn", "failed", "forbidden")
    assert a.nova.paused == 0
    assert a.runs_here
    assert "peers.send" not in a.recorder.calls


def test_a_token_that_is_revoked_or_ends_in_the_middle_is_not_missed(a: CloudA) -> None:
    """A migration may take longer than a token lives: what the engine needs of the caller it asked at the start."""

    def revoke() -> None:
        a.recorder.failing["azm.may_start"] = errors.PolicyError("this token was revoked")

    a.before("peers.send", revoke)
    assert a.run().phase == "closed"
    assert a.recorder.calls.count("azm.may_start") == 1
    assert "token" not in json.dumps(a.row.state)


@pytest.mark.parametrize("text", ["{{{", '"secure_migration:federation:accept": "rule:nobody:knows"', "[1, 2"])
def test_a_policy_file_that_breaks_while_b_runs_lets_nothing_in(b: CloudB, text: str) -> None:
    b._policy.write_text(text)
    b.source.run("TokenAB")
    decision = b.source.side.machine.message(p.TokenBA2).decision
    assert isinstance(decision, p.Refused)
    assert decision.code == "forbidden"
    assert b.untouched


def test_a_policy_file_that_cannot_be_read_stops_the_engine(b: CloudB) -> None:
    with pytest.raises(Exception, match=r"(?i)policy|parse|yaml|flow|expected"):
        b.change_policy("{{{")


@pytest.mark.parametrize("change", [{"enabled": False}, {"direction": "outgoing"}, {"project_id": None}])
def test_an_agreement_that_ended_between_offer_and_decision(b: CloudB, change: dict[str, Any]) -> None:
    b.source.run("Offer")
    b.change_agreement(A, **change)
    b.source.run("TokenAB")
    decision = b.source.side.machine.message(p.TokenBA2).decision
    assert isinstance(decision, p.Refused)
    assert decision.code == "no-agreement"
    assert b.untouched


def test_a_stranger_is_told_nothing_but_that_there_is_no_agreement(b: CloudB) -> None:
    b.change_agreement(A, enabled=False)
    assert b.refusal(b.source.make("Offer")).code == "no-agreement"
    assert b.rows == 0


def test_a_tenant_of_b_puts_a_server_of_his_own_in_the_way(b: CloudB) -> None:
    """He marks it as the placeholder of a migration whose id he has seen: the guest would be restored into it."""
    b.source.run("TokenAB")
    trap = b.nova.create_placeholder(host=HOST, migration_id=b.source.id, project_id="mallory")
    b.source.run()
    b.carry_on()
    assert b.row.server_id != trap
    (port,) = b.nova.servers[b.row.server_id]["asked"]["port_ids"]
    assert [port] == b.neutron.find_arrived(b.source.id, PROJECT)
    assert b.nova.servers[trap]["asked"]["project_id"] == "mallory"


def test_a_tenants_marked_server_is_not_removed_by_an_undoing(b: CloudB) -> None:
    b.source.run("Envelope")
    own = b.nova.create_placeholder(host=HOST, migration_id=b.source.id, project_id="mallory")
    b.post(b.source.withdrawal())
    b.carry_on()
    assert list(b.nova.servers) == [own]


def test_a_member_of_the_receiving_project_says_that_a_placeholder_has_arrived(b: CloudB) -> None:
    """Nova lets him write on it until it is locked. B must not believe it later, when its host has lost the guest."""

    def says_so() -> None:
        for server in b.nova.servers.values():
            server["arrived"] = b.source.id

    b.before("servers.suspend", says_so)
    b.source.run("Transfer")
    b.agent.gone, b.agent.state = errors.HypervisorError("the guest is gone"), "unknown"
    b.source.run("Release")
    b.carry_on()
    assert not b.agent.runs
    assert b.source.side.machine.message(p.Receipt).outcome == "refused"


@pytest.mark.parametrize("untagged", [False, True], ids=["", "and takes the placeholder's tag off"])
def test_a_member_of_the_receiving_project_says_that_a_port_has_arrived(b: CloudB, untagged: bool) -> None:
    """B would leave the guest's memory, its disk and its key where they are."""
    b.source.run("Transfer")
    b.neutron.ports[f"arrived-{b.source.id}"] = [{"id": "his", "project": PROJECT, "network": "net", "mac": "mac"}]
    for server in b.nova.servers.values():
        server["untagged"] = untagged
    b.recorder.kill_on = ("", "km.remove_imported")
    with contextlib.suppress(Killed):
        b.post(b.source.withdrawal())
        b.carry_on()
    b.stop()
    b.recorder.kill_on = None
    b.start()
    b.look()
    b.carry_on()
    assert (b.row.phase, b.row.error_code) == ("undone", "withdrawn")
    assert not b.nova.servers
    assert not b.storage.volumes
    assert b.keys.secrets == {}


def test_a_member_of_the_receiving_project_takes_the_tag_off(b: CloudB) -> None:
    """No lock protects it. The server is unlocked by its id."""
    b.source.run("Transfer")
    for server in b.nova.servers.values():
        server["untagged"] = True
    b.source.run()
    b.carry_on()
    (server,) = b.nova.servers.values()
    assert (b.row.phase, server["status"], server["locked"]) == ("closed", "ACTIVE", False)
