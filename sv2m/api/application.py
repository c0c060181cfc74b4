# SPDX-License-Identifier: Apache-2.0
"""From a request to a handler's answer. Authentication has been done when a request comes here."""

from __future__ import annotations

import json
from typing import Any

import webob
from oslo_log import log
from webob.dec import wsgify

from sv2m import errors
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
            query = dict(request.GET)
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
    raw = request.body
    if not raw and route.optional_body:
        return None
    if request.content_type != "application/json":
        raise faults.UnsupportedMediaType(f"the body is {request.content_type or 'of no type'}")
    try:
        value = json.loads(raw, parse_constant=_no_number)
        # Half a surrogate pair is no character: nothing could store it.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise errors.LocalError("the body is not JSON", code="invalid-request") from error
    schemas.validate(value, route.body, "body")
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
