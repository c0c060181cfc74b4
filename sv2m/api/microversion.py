# SPDX-License-Identifier: Apache-2.0
"""Microversions, as the API SIG wrote them down: ``OpenStack-API-Version: secure-migration 1.0``.

No microversion changes how a migration is secured: that is the protocol's, and the peers', to agree on.
"""

from __future__ import annotations

import re

from sv2m import errors
from sv2m.api.faults import UnsupportedVersion

SERVICE_TYPE = "secure-migration"
HEADER = "OpenStack-API-Version"
MINIMUM = (1, 0)
MAXIMUM = (1, 0)


def text(version: tuple[int, int]) -> str:
    """``1.0`` form."""
    return f"{version[0]}.{version[1]}"


def negotiate(header: str | None) -> tuple[int, int]:
    """The version that an ``OpenStack-API-Version`` header asks this service for; the oldest without one.

    :raises UnsupportedVersion: it is malformed, or outside of what this service speaks.
    """
    wanted = None
    for part in (header or "").split(","):
        # The header may speak to several services at once; the last word to this one counts.
        service, _, version = part.strip().partition(" ")
        if service.lower() == SERVICE_TYPE:
            wanted = version.strip()
    if wanted is None:
        return MINIMUM
    if wanted == "latest":
        return MAXIMUM
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", wanted)
    version_asked = (int(match[1]), int(match[2])) if match else None
    if version_asked is None or not MINIMUM <= version_asked <= MAXIMUM:
        raise UnsupportedVersion(
            f"{SERVICE_TYPE} speaks {text(MINIMUM)} to {text(MAXIMUM)}, not {errors.shown(wanted)}"
        )
    return version_asked
