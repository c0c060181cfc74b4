# SPDX-License-Identifier: Apache-2.0
"""What an evidence folder says of itself. Nobody has signed it, and anybody may have written it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sv2m.evidence.folder import SUMMARY, is_covered
from sv2m.evidence.zipped import bad_evidence

#: Bytes. Ten messages with their digests have some 3 KiB.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Summary:
    """What is said.

    :param kept_by: the cloud that has saved it.
    :param role: that cloud's, source or destination.
    :param peer: the other cloud.
    :param digests: SHA-384 in hexadecimal of each document, by kind.
    :param offered_at: when the Offer was made, UTC; None when it is not said.
    :param stamped: the time of each timestamp, UTC, by what it covers: a kind, ``audit-N`` or ``archive-N``.
    """

    migration_id: str | None = None
    kept_by: str | None = None
    role: str | None = None
    peer: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    offered_at: datetime | None = None
    stamped: Mapping[str, datetime] = field(default_factory=dict)


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
    offered = [one["at"] for one in documents if one["kind"] == "Offer"]
    return Summary(
        **{name: text for name in _NAMES if isinstance(text := said.get(name), str)},
        digests={one["kind"]: one["sha384"] for one in documents},
        offered_at=_time(offered[0], "of the offer") if offered else None,
        stamped=_stamped(said.get("timestamps", [])),
    )


_NAMES = ("migration_id", "kept_by", "role", "peer")


def _is_document(one: Any) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(name), str) for name in ("kind", "at", "sha384"))


def _stamped(listed: Any) -> dict[str, datetime]:
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise bad_evidence(f"{SUMMARY} is not one that evidence has")
    times = {one.get("covers"): one.get("at") for one in listed if isinstance(one.get("covers"), str)}
    return {
        covers: _time(at, "of a timestamp")
        for covers, at in times.items()
        if isinstance(at, str) and is_covered(covers)
    }


def _time(text: str, of: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        # Without a zone it would be this machine's, and another one elsewhere; near the ends of the calendar it
        # is none in UTC.
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise bad_evidence(f"{SUMMARY} says no time {of}") from error
