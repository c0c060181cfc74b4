# SPDX-License-Identifier: Apache-2.0
"""What limits an agreement has: those that it names, and for the others this cloud's own ([azm] default_…)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Of one arriving server; and how many may be arriving at once.
NAMES = ("memory_mb", "vcpus", "disk_gb", "migrations")


def defaults(options: Any) -> dict[str, int]:
    """This cloud's own.

    :param options: the group [azm]; -1 is no limit.
    """
    said = {name: int(getattr(options, f"default_{name}")) for name in NAMES}
    return {name: amount for name, amount in said.items() if amount >= 0}


def effective(agreed: Mapping[str, int] | None, own: Mapping[str, int]) -> dict[str, int]:
    """What holds: a peer may do without limit only what this cloud lets every peer do so.

    :param agreed: those of the agreement.
    :param own: what :func:`defaults` returns.
    """
    return {**own, **(agreed or {})}
