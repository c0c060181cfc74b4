# SPDX-License-Identifier: Apache-2.0
"""Agreements, and this cloud's certificates."""

from __future__ import annotations

import pytest

from sv2m import errors
from sv2m.db import certificates, engine, migrations, peers
from sv2m.db.models import Peer

pytestmark = pytest.mark.usefixtures("database")


def make(name: str = "cloud-b.sv2m") -> Peer:
    with engine.session() as session:
        return peers.create(session, name=name, url="https://b", ca_pem="pem", direction="both")


def test_found_by_id_and_by_name() -> None:
    row = make()
    with engine.session() as session:
        assert peers.get(session, row.id).name == peers.get(session, row.name).name == "cloud-b.sv2m"
        assert peers.find(session, "nobody") is None
        with pytest.raises(errors.NotFound):
            peers.get(session, "nobody")
    assert (row.enabled, row.limits, row.tls_ca_pem) == (True, {}, "")


def test_one_agreement_with_a_peer() -> None:
    make()
    with pytest.raises(errors.Conflict):
        make()


def test_update_replaces_limits() -> None:
    make()
    with engine.session() as session:
        peers.update(session, "cloud-b.sv2m", limits={"vcpus": 2}, enabled=False)
    with engine.session() as session:
        row = peers.get(session, "cloud-b.sv2m")
    assert (row.limits, row.enabled) == ({"vcpus": 2}, False)
    assert row.updated_at > row.created_at


def test_pages_by_name() -> None:
    for name in ("c", "a", "b"):
        make(name)
    with engine.session() as session:
        assert [p.name for p in peers.list_page(session, limit=2)] == ["a", "b"]
        assert [p.name for p in peers.list_page(session, limit=2, marker="b")] == ["c"]
        assert len(peers.list_all(session)) == 3
        with pytest.raises(errors.LocalError):
            peers.list_page(session, limit=2, marker="z")


def test_not_deleted_while_migrations_run() -> None:
    make()
    with engine.session() as session:
        values = {"id": "m", "role": "source", "peer": "cloud-b.sv2m", "project_id": "p", "phase": "offered"}
        migrations.create(session, **values)
    with pytest.raises(errors.Conflict, match="1 migrations"), engine.session() as session:
        peers.delete(session, "cloud-b.sv2m")
    with engine.session() as session:
        migrations.advance(session, "m", "offered", 0, "withdrawn", status="failed")
        peers.delete(session, "cloud-b.sv2m")
        assert peers.list_all(session) == []


def test_activation_retires_the_one_before() -> None:
    with engine.session() as session:
        assert certificates.active(session) is None
        first = certificates.create(session, name="cloud-a.sv2m", csr_pem="csr")
        second = certificates.create(session, name="cloud-a.sv2m")
        certificates.activate(session, first.id, chain_pem="chain", serial="01")
        certificates.activate(session, second.id)
    with engine.session() as session:
        active = certificates.active(session)
        assert active is not None
        assert active.id == second.id
        assert [c.serial for c in certificates.list_all(session, "retired")] == ["01"]
        assert certificates.update(session, first.id, serial="02").serial == "02"
        with pytest.raises(errors.NotFound):
            certificates.get(session, "nothing")
