# SPDX-License-Identifier: Apache-2.0
"""What an evidence folder says of itself. Nobody has signed it, and anybody may have written it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sv2m.evidence.folder import SUMMARY
from sv2m.evidence.zipped import bad_evidence

#: Bytes. Ten messages with their digests have some 3 KiB.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Summary:
    """What is said.

    :param digests: SHA-384 in hexadecimal of each document, by kind.
    :param offered_at: when the Offer was made, UTC; None when it is not said.
    """

    migration_id: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    offered_at: datetime | None = None


def read(data: bytes) -> Summary:
    """Read ``summary.json``.

    :raises sv2m.errors.PeerError: it is none.
    """
    if len(data) > _MAX_BYTES:
        raise bad_evidence(f"{SUMMARY} is larger than any")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise bad_evidence(f"{SUMMARY} is not JSON") from error
    documents = said.get("documents", []) if isinstance(said, dict) else None
    if not isinstance(documents, list) or not all(_is_document(one) for one in documents):
        raise bad_evidence(f"{SUMMARY} is not one that evidence has")
    migration_id = said.get("migration_id")
    offered = [one["at"] for one in documents if one["kind"] == "Offer"]
    return Summary(
        migration_id if isinstance(migration_id, str) else None,
        {one["kind"]: one["sha384"] for one in documents},
        _time(offered[0]) if offered else None,
    )


def _is_document(one: Any) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(name), str) for name in ("kind", "at", "sha384"))


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        # Without a zone it would be this machine's, and another one elsewhere; near the ends of the calendar it
        # is none in UTC.
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise bad_evidence(f"{SUMMARY} says no time of the offer") from error
