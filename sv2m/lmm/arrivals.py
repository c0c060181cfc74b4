# SPDX-License-Identifier: Apache-2.0
"""Which migrations arrive here, from the database."""

from __future__ import annotations

from sv2m.db import engine, migrations

_PAGE = 1000


class Arrivals:
    """Implements :class:`sv2m.lmm.ports.Migrations`."""

    def running(self) -> dict[str, bool]:
        """By id, every migration that arrives or arrived here: whether it still runs."""
        found: dict[str, bool] = {}
        marker = None
        with engine.session() as session:
            while True:
                page = migrations.list_page(session, limit=_PAGE, marker=marker, role="destination")
                found.update((one.id, one.status == "running") for one in page)
                if len(page) < _PAGE:
                    return found
                marker = page[-1].id
