# SPDX-License-Identifier: Apache-2.0
"""What tables show to people, and give to programs (``-f json``)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cliff.columns import FormattableColumn

from sv2m.cli.faults import sentence


class Error(FormattableColumn[Any]):
    """A migration's error: a sentence; for programs its code, message, remedy and fault."""

    def human_readable(self) -> str:
        """Message, code and remedy."""
        return sentence(self._value)

    def machine_readable(self) -> dict[str, Any]:
        """Its fields."""
        return dict(self._value)


class Share(FormattableColumn[Any]):
    """How much of something is used: a pair of numbers."""

    def human_readable(self) -> str:
        """``1 of 32``."""
        used, total = self._value
        return f"{used} of {total}"

    def machine_readable(self) -> dict[str, int]:
        """Two numbers."""
        used, total = self._value
        return {"used": used, "total": total}


def moment(text: str | None) -> str | None:
    """A time of the API, to the second, as OpenStack's other commands show it: ``2030-01-31T08:00:00Z``."""
    if text is None:
        return None
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
