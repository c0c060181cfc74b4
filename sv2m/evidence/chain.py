# SPDX-License-Identifier: Apache-2.0
"""Is this audit log whole? Each event carries the SHA-384 of the line before, and the first one 48 zero bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: What may stand first: the beginning, the first event of a log that began later, and what follows a purge.
_BEGINNINGS = ("created", "adopted")
_NOTHING = "00" * 48
#: Characters of an event, and its number: bounds of what is read of a log that somebody else may have written.
_MAX_LINE, _MAX_NUMBER = 64 << 10, 1 << 63


@dataclass(frozen=True)
class Log:
    """A log that was read.

    :param events: those before the first fault.
    :param faults: what is wrong, for a person to read; empty for a whole log.
    :param digest: hexadecimal, of the last event.
    """

    events: tuple[dict[str, Any], ...]
    faults: tuple[str, ...] = field(default=())
    digest: str = _NOTHING


def read(lines: Iterable[str], subject: str) -> Log:
    """Read and check a log.

    :param lines: without their line breaks. None is asked for behind the first fault.
    :param subject: the migration or agreement whose log it is to be.
    """
    events: list[dict[str, Any]] = []
    before = _NOTHING
    for position, line in enumerate(lines, start=1):
        try:
            event = _event(line)
        except ValueError as error:
            return Log(tuple(events), (f"line {position}: {error}",), before)
        fault = _fault(event, subject, events[-1] if events else None, before)
        if fault is not None:
            return Log(tuple(events), (f"line {position}: {fault}",), before)
        events.append(event)
        before = hashlib.sha384(f"{line}\n".encode()).hexdigest()
    return Log(tuple(events), digest=before)


def _event(line: str) -> dict[str, Any]:
    try:
        if len(line) > _MAX_LINE:
            raise ValueError("it is longer than any event")
        event = json.loads(line)
        written = json.dumps(event, sort_keys=True, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("it is not an event") from error
    if not isinstance(event, dict) or not _is_number(event.get("number")) or not isinstance(event.get("action"), str):
        raise ValueError("it is not an event")
    if event["action"] == "document" and not all(isinstance(event.get(name), str) for name in ("kind", "sha384")):
        raise ValueError("it does not say which document was kept")
    if written != line:
        raise ValueError("it is not in the form in which events are written")
    return event


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 < value < _MAX_NUMBER


def _fault(event: dict[str, Any], subject: str, last: dict[str, Any] | None, before: str) -> str | None:
    if event.get("subject") != subject:
        return "it is of another log"
    if last is None:
        begins = event["number"] == 1 and event.get("action") in _BEGINNINGS and event.get("previous") == _NOTHING
        goes_on = event["number"] > 1 and event.get("action") == "purged"
        return None if begins or goes_on else "the log does not begin with its beginning"
    if event["number"] != last["number"] + 1:
        return f"event {last['number'] + 1} is missing"
    if event.get("previous") != before:
        return "the event before was changed"
    return None
