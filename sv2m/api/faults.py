# SPDX-License-Identifier: Apache-2.0
"""Errors as JSON: what happened, a code that never changes, what to do next, and whose fault it is."""

from __future__ import annotations

import webob

from sv2m import errors
from sv2m.api.call import answer


def response(error: errors.SV2MError, request_id: str) -> webob.Response:
    """The answer that carries an error."""
    body = {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        "fault": error.fault,
        "request_id": request_id,
    }
    return answer(error.http_status, {"error": body})


class MethodNotAllowed(errors.LocalError):
    """The path exists, but not with this method."""

    code = "method-not-allowed"
    http_status = 405


class UnsupportedVersion(errors.LocalError):
    """The microversion asked for is none of this service's."""

    code = "unsupported-version"
    remedy = "Ask for a version that GET / lists, or leave the header out."
    http_status = 406


class UnsupportedMediaType(errors.LocalError):
    """The body is not JSON."""

    code = "unsupported-media-type"
    remedy = "Send the body as application/json."
    http_status = 415
