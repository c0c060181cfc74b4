# SPDX-License-Identifier: Apache-2.0
"""Three nodes, all of them written at the same time: what one of several may have, one gets."""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_db.sqlalchemy.engines import create_engine
from sqlalchemy.orm import Session, sessionmaker

from sv2m.db import engine as database
from sv2m.db import leases, migrations, peers, sync
from sv2m.db.models import Migration
from tests.galera import cluster

pytestmark = pytest.mark.skipif(not cluster.installed(), reason="mariadb-server, galera-4 and rsync are not installed")

PEER = "cloud-b.sv2m"


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[sa.Engine]]:
    """An engine for each node, the schema made on the first."""
    started: list[cluster.Node] = []
    # Not pytest's own directory, which only root may enter.
    directory = Path(tempfile.mkdtemp(prefix="sv2m-galera-"))
    directory.chmod(0o755)
    try:
        for number in range(3):
            node = cluster.Node(directory / f"node-{number}")
            node.directory.mkdir()
            started.append(node)
            node.start(started[:-1])
            if number == 0:
                node.sql("CREATE DATABASE sv2m CHARACTER SET utf8mb3")
        engines = [create_engine(node.url) for node in started]
        sync.upgrade(engines[0])
        yield engines
        for one in engines:
            one.dispose()
    finally:
        for node in reversed(started):
            node.stop()
        shutil.rmtree(directory)


@pytest.fixture
def here(nodes: list[sa.Engine], monkeypatch: pytest.MonkeyPatch) -> threading.local:
    """Each thread has the node that it wants: ``here.node``."""
    local = threading.local()
    local.node = nodes[0]
    monkeypatch.setattr(database, "current", lambda: local.node)
    with database.session() as session:
        for table in reversed(Migration.metadata.sorted_tables):
            session.execute(sa.delete(table))
        peers.create(session, name=PEER, url="https://b", ca_pem="pem", direction="both")
    return local


def on_all_nodes(nodes: list[sa.Engine], here: threading.local, do: Callable[[int], bool]) -> list[bool]:
    """Do something at the same time, several times on each node. :returns: what came of it."""
    together, found = threading.Barrier(2 * len(nodes)), []

    def run(number: int) -> None:
        here.node = nodes[number % len(nodes)]
        together.wait(60)
        found.append(do(number))

    threads = [threading.Thread(target=run, args=[number]) for number in range(2 * len(nodes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(threads)
    return found


def test_who_takes_an_agreement_on_another_node_begins_again(nodes: list[sa.Engine], here: threading.local) -> None:
    first, second = (sessionmaker(one)() for one in nodes[:2])
    peers.hold(first, PEER)
    peers.hold(second, PEER)
    first.commit()
    with pytest.raises(db_exc.DBDeadlock):
        second.commit()


def test_the_last_place_is_given_once(nodes: list[sa.Engine], here: threading.local) -> None:
    def enter(session: Session) -> bool:
        peers.hold(session, PEER)
        if session.scalar(sa.select(sa.func.count()).select_from(Migration)):
            return False
        about = {"peer": PEER, "project_id": "p", "phase": "challenged"}
        migrations.create(session, id=str(uuid.uuid4()), role="destination", **about)
        return True

    assert sum(on_all_nodes(nodes, here, lambda _: database.transaction(enter))) == 1


def test_of_all_engines_one_claims_and_one_has_the_lease(nodes: list[sa.Engine], here: threading.local) -> None:
    with database.session() as session:
        migrations.create(session, id="m", role="destination", peer=PEER, project_id="p", phase="landing")

    def claim(number: int) -> bool:
        return database.transaction(
            lambda session: migrations.claim(
                session, "m", f"engine-{number}", database.now(session), timedelta(seconds=60)
            )
        )

    def lease(number: int) -> bool:
        def take(session: Session) -> bool:
            now = database.now(session)
            return leases.take(session, "load", f"engine-{number}", now, now + timedelta(minutes=1))

        return database.transaction(take)

    assert sum(on_all_nodes(nodes, here, claim)) == 1
    assert sum(on_all_nodes(nodes, here, lease)) == 1


def test_the_databases_clock_is_utc(here: threading.local) -> None:
    with database.session() as session:
        assert abs(database.now(session) - datetime.now(UTC)) < timedelta(minutes=1)
