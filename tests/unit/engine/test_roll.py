# SPDX-License-Identifier: Apache-2.0
"""The agents say nothing by themselves: one of the engines asks them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from sv2m import errors, reporting
from sv2m.db import engine as database_
from sv2m.db import services as reports
from sv2m.engine.roll import Roll


class _Edm:
    """Two hosts have an agent, one has none."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def endpoint(self, context: dict[str, Any], host: str) -> dict[str, Any]:
        self.asked.append(host)
        if host == "h2":
            raise errors.AgentLost("h2 does not answer")
        # An agent of a release before this one says no version.
        return {"host": host, "port": 9893, **({"version": "7"} if host == "h1" else {})}


def _services() -> Any:
    hosts = [{"host": name} for name in ("h1", "h2", "h3")]
    return SimpleNamespace(edm=_Edm(), lmm=SimpleNamespace(load=lambda context: {"hosts": hosts}))


def _agents() -> list[tuple[str, str]]:
    with database_.session() as session:
        return [(one.host, one.version) for one in reports.list_all(session) if one.binary == reporting.AGENT]


def test_agents_that_answer_are_up_and_one_that_is_silent_keeps_nobody_waiting(database: sa.Engine) -> None:
    Roll(_services(), "c1").look()
    assert _agents() == [("h1", "7"), ("h3", "")]


def test_of_several_engines_one_asks(database: sa.Engine) -> None:
    for host in ("c1", "c2"):
        reporting.Reporting(reporting.ENGINE, host).look()
    first, second = _services(), _services()
    Roll(second, "c2").look()
    assert second.edm.asked == []
    Roll(first, "c1").look()
    assert sorted(first.edm.asked) == ["h1", "h2", "h3"]
