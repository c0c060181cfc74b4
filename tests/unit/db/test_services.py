# SPDX-License-Identifier: Apache-2.0
"""Which programs run: what each has last reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from sv2m.db import engine, services

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def _note(binary: str, host: str, at: datetime, version: str = "1.0") -> None:
    with engine.session() as session:
        services.note(session, binary, host, version, at)


def _shown(at: datetime) -> list[tuple[str, str, str, bool]]:
    with engine.session() as session:
        found = services.list_all(session)
    return [(one.binary, one.host, one.version, services.is_up(one, at)) for one in found]


def test_a_program_is_up_until_it_has_missed_its_reports(database: sa.Engine) -> None:
    _note("sv2m-engine", "c2", NOW)
    _note("sv2m-engine", "c1", NOW - timedelta(seconds=80))
    _note("sv2m-api", "c1", NOW - timedelta(seconds=100))
    assert _shown(NOW) == [
        ("sv2m-api", "c1", "1.0", False),
        ("sv2m-engine", "c1", "1.0", True),
        ("sv2m-engine", "c2", "1.0", True),
    ]
    with engine.session() as session:
        assert services.up(session, "sv2m-engine", NOW) == ["c1", "c2"]
        assert services.up(session, "sv2m-api", NOW) == []


def test_a_program_that_reports_again_is_the_same_one_with_what_it_is_now(database: sa.Engine) -> None:
    _note("sv2m-agent", "h", NOW)
    _note("sv2m-agent", "h", NOW + timedelta(hours=1), "2.0")
    assert _shown(NOW + timedelta(hours=1)) == [("sv2m-agent", "h", "2.0", True)]


def test_a_host_that_is_gone_for_good_is_forgotten(database: sa.Engine) -> None:
    _note("sv2m-agent", "gone", NOW)
    _note("sv2m-agent", "here", NOW + timedelta(days=8))
    assert _shown(NOW + timedelta(days=8)) == [("sv2m-agent", "here", "1.0", True)]
