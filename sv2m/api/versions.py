# SPDX-License-Identifier: Apache-2.0
"""Which versions there are: answered to anybody, before authentication, as in every OpenStack API."""

from __future__ import annotations

from typing import Any

import webob

from sv2m.api import microversion
from sv2m.api.call import answer


def _version(base: str) -> dict[str, Any]:
    return {
        "id": "v1.0",
        "status": "CURRENT",
        "version": microversion.text(microversion.MAXIMUM),
        "max_version": microversion.text(microversion.MAXIMUM),
        "min_version": microversion.text(microversion.MINIMUM),
        "links": [{"rel": "self", "href": f"{base}/v1/"}],
    }


def answer_for(request: webob.Request) -> webob.Response | None:
    """The answer to ``GET /`` and ``GET /v1``; None for anything else."""
    if request.method not in ("GET", "HEAD"):
        return None
    path = request.path_info.rstrip("/")
    if path == "":
        return answer(200, {"versions": [_version(request.application_url)]})
    if path == "/v1":
        return answer(200, {"version": _version(request.application_url)})
    return None
