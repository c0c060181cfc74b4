# SPDX-License-Identifier: Apache-2.0
"""SV2M's own programs."""

from __future__ import annotations

from openstack import resource


class Program(resource.Resource):
    """One program on one host."""

    resources_key = "services"
    base_path = "/services"

    allow_list = True

    _query_mapping = resource.QueryParameters(include_pagination_defaults=False)

    binary = resource.Body("binary")
    host = resource.Body("host")
    version = resource.Body("version")
    #: up, or down: it has reported nothing, and answered nothing, for a while.
    state = resource.Body("state")
    seen_at = resource.Body("seen_at")
