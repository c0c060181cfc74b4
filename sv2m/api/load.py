# SPDX-License-Identifier: Apache-2.0
"""What the load monitor sees."""

from __future__ import annotations

import webob

from sv2m.api.call import Call, answer
from sv2m.policies import load as rules


def list_hosts(call: Call) -> webob.Response:
    """``GET /v1/load``: every compute host, and what is held for offers."""
    call.authorize(rules.LIST)
    return answer(200, call.services.load.load(call.rpc_context()))
