# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from oslo_policy import opts

from sv2m import conf as conf_of_all
from sv2m import errors
from sv2m.azm import limits
from sv2m.azm.agreement import Agreement, disk_gb
from sv2m.azm.agreements import StoredAgreements
from sv2m.azm.server import Endpoint
from sv2m.db import engine, peers
from sv2m.policies.enforcer import Enforcer

A, B = "cloud-a.sv2m", "cloud-b.sv2m"
AGREEMENT = Agreement("ag1", B, "both", True, "-----BEGIN CERTIFICATE-----", "research")
NEEDS: dict[str, Any] = {
    "name": "web",
    "vcpus": 2,
    "memory_mb": 2048,
    "root_gb": 10,
    "ephemeral_gb": 0,
    "swap_mb": 0,
    "disks": [{"boot": True, "volume_gb": 20, "size": 20 << 30, "encrypted": False}],
}
SERVER = {"id": "s1", "project_id": "p1"}
ADMIN = {"roles": ["admin", "member", "reader"], "user_id": "u", "project_id": "p0"}
MANAGER = {"roles": ["manager", "member", "reader"], "user_id": "u", "project_id": "p1"}
MEMBER = {"roles": ["member", "reader"], "user_id": "u", "project_id": "p1"}


class Agreements:
    def __init__(self, agreement: Agreement | None = AGREEMENT) -> None:
        self.agreement = agreement

    def find(self, peer: str) -> Agreement | None:
        return self.agreement if self.agreement and self.agreement.peer == peer else None


def rules(tmp_path: Path, changes: str = "") -> Enforcer:
    (tmp_path / "policy.yaml").write_text(changes)
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    conf.set_override("policy_file", str(tmp_path / "policy.yaml"), "oslo_policy")
    enforcer = Enforcer(conf)
    enforcer.start()
    return enforcer


def endpoint(tmp_path: Path, agreements: Agreements | None = None, changes: str = "") -> Endpoint:
    return Endpoint(rules(tmp_path, changes), agreements or Agreements(), A)


@pytest.mark.parametrize("who", [ADMIN, MANAGER])
def test_who_may_start(tmp_path: Path, who: dict[str, Any]) -> None:
    assert endpoint(tmp_path).may_start({}, who, SERVER, B) == {"agreement": "ag1"}


@pytest.mark.parametrize("who", [MEMBER, {**MANAGER, "project_id": "p2"}, {}])
def test_who_may_not_start_reads_the_rules_name(tmp_path: Path, who: dict[str, Any]) -> None:
    with pytest.raises(errors.PolicyError, match=r"the role manager .*rule secure_migration:migrations:create"):
        endpoint(tmp_path).may_start({}, who, SERVER, B)


def test_the_administrator_decides_who_may(tmp_path: Path) -> None:
    changes = '"secure_migration:migrations:create": "role:member"'
    assert endpoint(tmp_path, changes=changes).may_start({}, MEMBER, SERVER, B)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"enabled": False}, f"agreement {B}: enabled is false"),
        ({"direction": "incoming"}, f"agreement {B}: direction is incoming"),
        ({"ca_pem": "\n"}, f"agreement {B}: ca is not set"),
    ],
)
def test_an_agreement_that_lets_nothing_out(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    agreements = Agreements(replace(AGREEMENT, **change))
    with pytest.raises(errors.AgreementError, match=why):
        endpoint(tmp_path, agreements).may_start({}, ADMIN, SERVER, B)


@pytest.mark.parametrize(
    ("peer", "why"), [("cloud-c.sv2m", "no agreement with cloud-c"), (A, "this cloud itself")]
)
def test_a_stranger_and_ourselves(tmp_path: Path, peer: str, why: str) -> None:
    with pytest.raises(errors.AgreementError, match=why):
        endpoint(tmp_path).may_start({}, ADMIN, SERVER, peer)
    with pytest.raises(errors.AgreementError, match=why):
        endpoint(tmp_path).may_accept({"migration_id": "m1"}, peer, NEEDS)


def test_a_server_within_the_agreement_is_accepted(tmp_path: Path) -> None:
    limits = {"memory_mb": 2048, "vcpus": 2, "disk_gb": 20, "migrations": 1}
    agreements = Agreements(replace(AGREEMENT, limits=limits))
    accepted = endpoint(tmp_path, agreements).may_accept({"migration_id": "m1"}, B, NEEDS)
    assert accepted == {"agreement": "ag1", "project_id": "research", "migrations": 1}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"limits": {"memory_mb": 2047}}, "memory_mb limit 2047, asked 2048"),
        ({"limits": {"vcpus": 1}}, "vcpus limit 1, asked 2"),
        ({"limits": {"disk_gb": 19}}, "disk_gb limit 19, asked 20"),
        ({"limits": {"memory_mb": 0}}, "memory_mb limit 0"),
        ({"direction": "outgoing"}, "direction is outgoing"),
        ({"enabled": False}, "enabled is false"),
        ({"project_id": None}, "project is not set"),
    ],
)
def test_a_server_beyond_the_agreement_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    agreements = Agreements(replace(AGREEMENT, **change))
    with pytest.raises(errors.AgreementError, match=f"agreement {B}: {why}"):
        endpoint(tmp_path, agreements).may_accept({"migration_id": "m1"}, B, NEEDS)


def test_policy_can_narrow_an_agreement(tmp_path: Path) -> None:
    changes = '"secure_migration:federation:accept": "peer:cloud-c.sv2m"'
    with pytest.raises(errors.PolicyError, match="rule secure_migration:federation:accept"):
        endpoint(tmp_path, changes=changes).may_accept({"migration_id": "m1"}, B, NEEDS)


@pytest.mark.parametrize(
    ("change", "gigabytes"),
    [
        ({}, 20),
        ({"disks": [{"boot": True, "volume_gb": 0}]}, 10),
        ({"ephemeral_gb": 3, "swap_mb": 1025}, 25),
        ({"disks": [*NEEDS["disks"], {"boot": False, "volume_gb": 5, "size": 5 << 30, "encrypted": False}]}, 25),
    ],
)
def test_what_a_server_takes_of_the_disks(change: Mapping[str, Any], gigabytes: int) -> None:
    assert disk_gb({**NEEDS, **change}) == gigabytes


def test_agreements_are_read_from_the_database(database: sa.Engine) -> None:
    stored = StoredAgreements()
    assert stored.find(B) is None
    with engine.session() as session:
        peers.create(
            session,
            name=B,
            url="https://b.test",
            ca_pem="pem",
            direction="both",
            project_id="research",
            limits={"vcpus": 1},
        )
    found = stored.find(B)
    assert found is not None
    assert (found.direction, found.limits, found.project_id) == ("both", {"vcpus": 1}, "research")


OWN = {"memory_mb": 4096, "vcpus": 8, "disk_gb": 100, "migrations": 2}


def test_an_agreement_without_limits_has_this_clouds_own(database: sa.Engine) -> None:
    """Nobody has thought of limits: a peer does not fill the cloud with one server, nor with a thousand at once."""
    with engine.session() as session:
        values = {"url": "https://b.test", "ca_pem": "pem", "direction": "both", "project_id": "research"}
        peers.create(session, name=B, **values)
        peers.create(session, name="cloud-c.sv2m", limits={"vcpus": 64}, **values)
    stored = StoredAgreements(OWN)
    plain, wide = stored.find(B), stored.find("cloud-c.sv2m")
    assert plain is not None
    assert wide is not None
    assert plain.migrations == 2
    with pytest.raises(errors.AgreementError, match="vcpus limit 8, asked 9"):
        plain.check_incoming({**NEEDS, "vcpus": 9})
    with pytest.raises(errors.AgreementError, match="memory_mb limit 4096"):
        wide.check_incoming({**NEEDS, "vcpus": 64, "memory_mb": 4097})
    assert wide.check_incoming({**NEEDS, "vcpus": 64}) == "research"


def test_the_defaults_are_safe_and_can_be_taken_away() -> None:
    conf = conf_of_all.register(cfg.ConfigOpts())
    conf([], project="sv2m", default_config_files=[])
    assert set(limits.defaults(conf.azm)) == set(limits.NAMES)
    conf.set_override("default_vcpus", -1, group="azm")
    assert "vcpus" not in limits.defaults(conf.azm)
