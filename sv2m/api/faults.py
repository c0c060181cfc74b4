# SPDX-License-Identifier: Apache-2.0
"""Errors as JSON: what happened, a code that never changes, what to do next, and whose fault it is."""

from __future__ import annotations

from collections.abc import Sequence

import webob

from sv2m import errors
from sv2m.api.call import answer

#: Seconds after which a service that was away is worth another try.
_AGAIN = "10"


class MethodNotAllowed(errors.LocalError):
    """The path exists, but not with this method.

    :param allowed: the methods that it has.
    """

    code = "method-not-allowed"
    http_status = 405

    def __init__(self, message: str = "", *, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class Unauthenticated(errors.LocalError):
    """There is no token, or Keystone does not take it."""

    code = "unauthenticated"
    remedy = "Get a token from Keystone, scoped to a project, and send it as X-Auth-Token."
    http_status = 401


class UnsupportedVersion(errors.LocalError):
    """The microversion asked for is none of this service's."""

    code = "unsupported-version"
    remedy = "Ask for a version that GET / lists, or leave the header out."
    http_status = 406


class BodyTooLarge(errors.LocalError):
    """The body is larger than the configuration allows."""

    code = "body-too-large"
    remedy = "Send less; the limit is [oslo_middleware] max_request_body_size."
    http_status = 413


class UnsupportedMediaType(errors.LocalError):
    """The body is not JSON."""

    code = "unsupported-media-type"
    remedy = "Send the body as application/json."
    http_status = 415


#: What stands for an answer of the middleware, by its status.
_OF_MIDDLEWARE: dict[int, errors.SV2MError] = {
    401: Unauthenticated("there is no valid token"),
    413: BodyTooLarge("the body is too large"),
    503: errors.ServiceUnavailable("Keystone does not answer"),
}


def response(error: errors.SV2MError, request_id: str) -> webob.Response:
    """The answer that carries an error."""
    body = {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        "fault": error.fault,
        "request_id": request_id,
    }
    return answer(error.http_status, {"error": body}, **_headers(error))


def _headers(error: errors.SV2MError) -> dict[str, str]:
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, errors.HostError | errors.TooManyOffers):
        return {"Retry_After": _AGAIN}
    return {}


def in_our_words(given: webob.Response, request_id: str) -> webob.Response:
    """An answer of the middleware, as every other: its errors say the same in our form.

    Its own headers stay: which tokens are asked for, for instance.
    """
    if given.status_int < 400 or _is_ours(given):
        return given
    error = _OF_MIDDLEWARE.get(given.status_int)
    if error is None:
        error = errors.LocalError(given.status) if given.status_int < 500 else errors.SV2MError("the service failed")
    said = response(error, request_id)
    said.status_int = given.status_int
    for name, value in given.headers.items():
        if not name.lower().startswith("content-"):
            said.headers[name] = value
    return said


def _is_ours(given: webob.Response) -> bool:
    try:
        return "fault" in given.json_body["error"]
    except (ValueError, KeyError, TypeError):
        return False
