# SPDX-License-Identifier: Apache-2.0
"""Pages of a list: ``limit``, ``marker``, and the link to the next page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import webob

from sv2m.api.call import Call, answer


def limit_of(call: Call) -> int:
    """How many items the caller gets at most."""
    services = call.services
    wanted = int(call.query.get("limit", services.default_limit))
    return max(1, min(wanted, services.max_limit))


def page(call: Call, key: str, items: Sequence[dict[str, Any]]) -> webob.Response:
    """The answer for one page.

    :param items: one more than :func:`limit_of` where there is a next page.
    """
    limit = limit_of(call)
    body: dict[str, Any] = {key: list(items[:limit])}
    if len(items) > limit:
        query = urlencode({**call.query, "limit": limit, "marker": items[limit - 1]["id"]})
        href = f"{call.request.path_url}?{query}"
        body[f"{key}_links"] = [{"rel": "next", "href": href}]
    return answer(200, body)
