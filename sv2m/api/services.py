# SPDX-License-Identifier: Apache-2.0
"""SV2M's own programs: which there are, and whether they run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import webob

from sv2m.api.call import Call, answer
from sv2m.db import engine, services
from sv2m.db.models import Service
from sv2m.policies import services as rules


def list_all(call: Call) -> webob.Response:
    """``GET /v1/services``."""
    call.authorize(rules.LIST)
    now = datetime.now(UTC)
    with engine.session() as session:
        found = services.list_all(session)
    return answer(200, {"services": [view(one, now) for one in found]})


def view(service: Service, now: datetime) -> dict[str, Any]:
    """A program as the API shows it."""
    return {
        "binary": service.binary,
        "host": service.host,
        "version": service.version,
        "state": "up" if services.is_up(service, now) else "down",
        "seen_at": service.seen_at.isoformat(),
    }
