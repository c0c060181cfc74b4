# SPDX-License-Identifier: Apache-2.0
"""Which migrations arrive here, from the database."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from sv2m.db import engine
from sv2m.db.models import Migration

#: Ids in one query: far below what any database takes in one statement.
_AT_A_TIME = 500


class Arrivals:
    """Implements :class:`sv2m.lmm.ports.Migrations`."""

    def running(self, ids: Collection[str]) -> dict[str, bool]:
        """Of these ids, those of migrations that arrive or arrived here: whether each still runs."""
        asked = sorted(ids)
        found: dict[str, bool] = {}
        arrivals = sa.select(Migration.id, Migration.status).where(Migration.role == "destination")
        with engine.session() as session:
            for start in range(0, len(asked), _AT_A_TIME):
                some = Migration.id.in_(asked[start : start + _AT_A_TIME])
                found.update({one.id: one.status == "running" for one in session.execute(arrivals.where(some))})
        return found
