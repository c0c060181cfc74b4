# SPDX-License-Identifier: Apache-2.0
"""Transactions of several threads at once, on SQLite."""

from __future__ import annotations

import contextlib
import threading

import pytest
import sqlalchemy as sa

from sv2m.db import engine, peers


def test_who_reads_before_he_writes_waits_for_his_turn(database: sa.Engine) -> None:
    with engine.session() as session:
        peers.create(session, name="cloud-b", url="https://b", ca_pem="", direction="both", limits={"vcpus": 0})
    both_read = threading.Barrier(2, timeout=0.5)
    failed: list[Exception] = []

    def count() -> None:
        try:
            with engine.session() as session:
                before = peers.get(session, "cloud-b").limits["vcpus"]
                with contextlib.suppress(threading.BrokenBarrierError):
                    # Both would have read by now, if the second were let in before the first has written.
                    both_read.wait()
                peers.update(session, "cloud-b", limits={"vcpus": before + 1})
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    with engine.session() as session:
        assert peers.get(session, "cloud-b").limits == {"vcpus": 2}


def test_an_error_of_the_database_does_not_quote_what_was_to_be_written(database: sa.Engine) -> None:
    values = {"name": "b", "url": "https://b", "ca_pem": "canary-in-a-row", "direction": "both"}
    with pytest.raises(Exception, match="hidden") as raised, engine.session() as session:
        # A column that may not be NULL.
        peers.create(session, **{**values, "url": None})
    assert "canary-in-a-row" not in f"{raised.value}{raised.value.__cause__!r}{raised.value.__context__!r}"
