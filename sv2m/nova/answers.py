# SPDX-License-Identifier: Apache-2.0
"""Answers in Nova's form, so that Nova's clients understand them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

#: Nova's names of the errors that SV2M answers with.
_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflictingRequest",
    503: "serviceUnavailable",
}
#: Seconds after which somebody who was told to ask again may do so.
_AGAIN = "5"


@dataclass(frozen=True)
class Answer:
    """Status line, headers and body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes = b""


def accepted(migration_id: str, location: str) -> Answer:
    """202, as Nova answers a migration that it has begun; the headers say where to look."""
    return Answer(
        "202 Accepted",
        [
            ("Content-Length", "0"),
            ("Content-Type", "application/json"),
            ("X-SV2M-Migration", migration_id),
            ("Location", location),
        ],
    )


def error(status: int, message: str) -> Answer:
    """An error, under the name that Nova gives to this status."""
    name = _NAMES.get(status, "computeFault")
    body = json.dumps({name: {"code": status, "message": message}}).encode()
    headers = [("Content-Length", str(len(body))), ("Content-Type", "application/json")]
    return Answer(f"{status} {_phrase(status)}", headers, body)


def busy(message: str) -> Answer:
    """503, with the wish to be asked again after a while."""
    refused = error(503, message)
    return Answer(refused.status, [*refused.headers, ("Retry-After", _AGAIN)], refused.body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
