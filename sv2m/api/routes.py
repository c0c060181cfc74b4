# SPDX-License-Identifier: Apache-2.0
"""Every path and method, in one table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import webob

from sv2m import errors
from sv2m.api import deciding, load, migrations, peers, services
from sv2m.api.call import Call
from sv2m.api.faults import MethodNotAllowed
from sv2m.api.schemas import load as load_schemas
from sv2m.api.schemas import migrations as migration_schemas
from sv2m.api.schemas import peers as peer_schemas
from sv2m.api.schemas import services as service_schemas

NOTHING: Mapping[str, Any] = {"type": "object", "maxProperties": 0}


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: str
    #: ``{name}`` stands for one segment.
    path: str
    handler: Callable[[Call], webob.Response]
    #: Schema of the body; None: the route takes none.
    body: Mapping[str, Any] | None = None
    #: Schema of the query string.
    query: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    #: Whether the body may be left out.
    optional_body: bool = False


ROUTES = (
    Route("GET", "/v1/migrations", migrations.list_page, query=migration_schemas.LIST_QUERY),
    Route("POST", "/v1/migrations", migrations.create, body=migration_schemas.CREATE),
    Route("GET", "/v1/migrations/{id}", migrations.show),
    Route(
        "POST",
        "/v1/migrations/{id}/abort",
        migrations.abort,
        body=migration_schemas.ABORT,
        optional_body=True,
    ),
    Route("POST", "/v1/migrations/{id}/decide", deciding.decide, body=migration_schemas.DECIDE),
    Route("GET", "/v1/migrations/{id}/evidence", migrations.evidence),
    Route("GET", "/v1/peers", peers.list_page, query=peer_schemas.LIST_QUERY),
    Route("POST", "/v1/peers", peers.create, body=peer_schemas.CREATE),
    Route("GET", "/v1/peers/{peer}", peers.show),
    Route("PATCH", "/v1/peers/{peer}", peers.update, body=peer_schemas.UPDATE),
    Route("DELETE", "/v1/peers/{peer}", peers.delete),
    Route("GET", "/v1/load", load.list_hosts, query=load_schemas.LIST_QUERY),
    Route("GET", "/v1/services", services.list_all, query=service_schemas.LIST_QUERY),
)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[A-Za-z0-9._-]{1,253})", path.replace(".", r"\.")))


_PATTERNS = tuple((_pattern(route.path), route) for route in ROUTES)


def match(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request, and the variable parts of its path.

    :raises sv2m.errors.NotFound: no such path.
    :raises MethodNotAllowed: the path has other methods.
    """
    allowed = []
    for pattern, route in _PATTERNS:
        found = pattern.fullmatch(path.rstrip("/"))
        if found is None:
            continue
        # HEAD is GET without its body, which the answer leaves out by itself.
        if route.method == ("GET" if method == "HEAD" else method):
            return route, found.groupdict()
        allowed += ["GET", "HEAD"] if route.method == "GET" else [route.method]
    if allowed:
        text = f"{errors.shown(method)} is not allowed here; {', '.join(allowed)} are"
        raise MethodNotAllowed(text, allowed=allowed)
    raise errors.NotFound("there is nothing at this path", remedy="Look at GET / and the API reference.")
