# SPDX-License-Identifier: Apache-2.0
"""Agreements as they stand in the database, read anew for each question."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sv2m.azm import limits
from sv2m.azm.agreement import Agreement
from sv2m.db import engine, peers


class StoredAgreements:
    """Implements :class:`sv2m.azm.ports.Agreements`.

    :param own: this cloud's own limits, for what an agreement does not limit.
    """

    def __init__(self, own: Mapping[str, int] = MappingProxyType({})) -> None:
        self._own = own

    def find(self, peer: str) -> Agreement | None:
        """The agreement with a peer, or None."""
        with engine.session() as session:
            row = peers.find(session, peer)
        if row is None:
            return None
        return Agreement(
            id=row.id,
            peer=row.name,
            direction=row.direction,
            enabled=row.enabled,
            ca_pem=row.ca_pem,
            project_id=row.project_id,
            limits=limits.effective(row.limits, self._own),
        )
