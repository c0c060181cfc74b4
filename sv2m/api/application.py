# SPDX-License-Identifier: Apache-2.0
"""From a request to a handler's answer. Authentication has been done when a request comes here."""

from __future__ import annotations

import json
from typing import Any

import webob
import webob.exc
from oslo_log import log
from webob.dec import wsgify

from sv2m import errors, rpc
from sv2m.api import faults, microversion, routes, schemas
from sv2m.api.call import Call, Caller
from sv2m.api.ports import Services

LOG = log.getLogger(__name__)


class Application:
    """The API as a WSGI application."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @wsgify
    def __call__(self, request: webob.Request) -> webob.Response:
        """Answer one request."""
        request_id = str(request.environ.get("openstack.request_id", ""))
        rpc.logged_as(request_id)
        try:
            version = microversion.negotiate(request.headers.get(microversion.HEADER))
            response = self._dispatch(request)
        except errors.SV2MError as error:
            LOG.info("%s: %s (%s)", _named(request), error, error.code)
            version = microversion.MINIMUM
            response = faults.response(error, request_id)
        except Exception:
            LOG.exception("%s failed", _named(request))
            version = microversion.MINIMUM
            # Nothing of an unforeseen exception goes out: nobody has looked at what its text may hold.
            response = faults.response(errors.SV2MError("the service failed unexpectedly"), request_id)
        response.headers[microversion.HEADER] = f"{microversion.SERVICE_TYPE} {microversion.text(version)}"
        response.headers["Vary"] = microversion.HEADER
        return response

    def _dispatch(self, request: webob.Request) -> webob.Response:
        try:
            route, path = routes.match(request.method, request.path_info)
            query = _query(request)
        except UnicodeDecodeError as error:
            raise errors.LocalError("path and query are not UTF-8", code="invalid-request") from error
        schemas.validate(query, route.query, "query")
        body = _body(request, route)
        call = Call(request, Caller.of(request.environ), self._services, path, query, body)
        return route.handler(call)


def _named(request: webob.Request) -> str:
    """A request, for the log: neither its query nor its body, and of its path no part that may be a secret."""
    parts = str(request.environ.get("PATH_INFO", "")).split("/")
    return f"{errors.shown(request.method)} {'/'.join(map(errors.shown, parts))}"


def _body(request: webob.Request, route: routes.Route) -> Any:
    if route.body is None:
        return None
    try:
        raw = request.body
    except webob.exc.HTTPRequestEntityTooLarge as error:
        # The middleware counts a body that does not say its length while it is read.
        raise faults.BodyTooLarge("the body is too large") from error
    except (OSError, ValueError) as error:
        # The caller has gone, or its chunks are none.
        raise errors.LocalError("the body cannot be read", code="invalid-request") from error
    if not raw and route.optional_body:
        return None
    if request.content_type != "application/json":
        raise faults.UnsupportedMediaType(f"the body is {request.content_type or 'of no type'}")
    try:
        value = json.loads(raw, parse_constant=_no_number, object_pairs_hook=_once)
        # Half a surrogate pair is no character: nothing could store it.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise errors.LocalError("the body is not JSON", code="invalid-request") from error
    schemas.validate(value, route.body, "body")
    return value


def _query(request: webob.Request) -> dict[str, str]:
    query = dict(request.GET)
    twice = [name for name in query if len(request.GET.getall(name)) > 1]
    if twice:
        raise errors.LocalError(f"query: {errors.shown(twice[0])} is there twice", code="invalid-request")
    return query


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, in which no name may be twice: two readers of such a one read different things."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.LocalError(f"body: {errors.shown(twice)} is there twice", code="invalid-request")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
