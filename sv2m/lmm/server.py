# SPDX-License-Identifier: Apache-2.0
"""LMM's RPC endpoint."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import oslo_messaging

from sv2m.lmm.load import LoadMonitor
from sv2m.lmm.room import Room


class Endpoint:
    """Topic ``sv2m-lmm``."""

    target = oslo_messaging.Target(version="1.2")

    def __init__(self, room: Room, monitor: LoadMonitor) -> None:
        self._room = room
        self._monitor = monitor

    @oslo_messaging.expose
    def hold(
        self,
        context: dict[str, Any],
        migration_id: str,
        needs: dict[str, Any],
        project_id: str | None = None,
        *,
        avoid: list[str] | None = None,
        prefer: list[str] | None = None,
    ) -> dict[str, Any]:
        """``{"host", "provider", "flavor_id"}`` of the room that is held from now on.

        :param avoid: hosts on which none shall be held.
        :param prefer: hosts on which it is held if there is room.
        """
        return asdict(self._room.hold(migration_id, needs, project_id, avoid or (), prefer or ()))

    @oslo_messaging.expose
    def fitting(
        self, context: dict[str, Any], needs: dict[str, Any], project_id: str | None = None
    ) -> dict[str, Any]:
        """``{"hosts"}``: on which there is room now, in no order; nothing is held."""
        return {"hosts": self._room.fitting(needs, project_id)}

    @oslo_messaging.expose
    def release(self, context: dict[str, Any], migration_id: str) -> None:
        """Give the room back. Repeating does no harm."""
        self._room.release(migration_id)

    @oslo_messaging.expose
    def fits(
        self, context: dict[str, Any], needs: dict[str, Any], project_id: str | None = None
    ) -> dict[str, Any]:
        """``{"fits", "host", "why"}``: whether there is room now; nothing is held."""
        host, why = self._room.fits(needs, project_id)
        return {"fits": host is not None, "host": host, "why": why}

    @oslo_messaging.expose
    def load(self, context: dict[str, Any]) -> dict[str, Any]:
        """``{"hosts": [...], "held": [{"migration_id", "host", "resources"}]}``."""
        held = [{"migration_id": name, **one} for name, one in sorted(self._room.holds().items())]
        return {"hosts": self._monitor.hosts(), "held": held}

    @oslo_messaging.expose
    def sweep(self, context: dict[str, Any]) -> dict[str, Any]:
        """``{"released"}``: migrations that have ended and whose room was still held."""
        return {"released": self._room.sweep()}
