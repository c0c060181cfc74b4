# SPDX-License-Identifier: Apache-2.0
"""A watchdog for nova-compute, as doc/operating.md asks an operator for one.

A nova-compute whose libvirtd dies inside one of its calls may hang in that call for ever: it lives, and an init system
sees nothing wrong. It no longer reports to Nova, though, and that is what a watchdog goes by.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

from lab.guests import TimedOutError, until
from lab.rest import ApiError
from tests.cloud.world import Side, World

#: Seconds without a report after which nova-compute is taken to hang; it reports each ten seconds.
SILENCE = 60.0
#: Seconds that one which is started again has for that.
BEGINNING = 180.0


def watch(world: World, say: Callable[[str], None]) -> list[str]:
    """Return once nova-compute has reported on both sides since this was called; one that hangs is started again.

    Returns:
        the sides, by name, on which it hung

    Raises:
        lab.guests.TimedOutError: it does not report after a new start either
    """
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    hung = []
    for side in (world.a, world.b):
        try:
            _reports(side, now, SILENCE)
        except TimedOutError:
            say(f"nova-compute of {side.name} hangs: it is started again")
            side.kill("nova-compute")
            side.start("nova-compute")
            _reports(side, now, BEGINNING)
            hung.append(side.name)
    return hung


def _reports(side: Side, since: datetime, patience: float) -> None:
    def look() -> bool | None:
        # Keystone or nova-api may only just have been started.
        with contextlib.suppress(ApiError, OSError):
            (service,) = side.admin.call("GET", "nova-api", "/os-services?binary=nova-compute")["services"]
            if service["state"] == "up" and datetime.fromisoformat(service["updated_at"]) > since:
                return True
        return None

    until(look, f"nova-compute of {side.name} reports", patience, 0.5)
