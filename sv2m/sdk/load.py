# SPDX-License-Identifier: Apache-2.0
"""What the load monitor sees."""

from __future__ import annotations

from openstack import resource


class HostLoad(resource.Resource):
    """One compute host."""

    resources_key = "hosts"
    base_path = "/load"

    allow_list = True

    _query_mapping = resource.QueryParameters(include_pagination_defaults=False)

    host = resource.Body("host")
    vcpus = resource.Body("vcpus")
    vcpus_used = resource.Body("vcpus_used")
    memory_mb = resource.Body("memory_mb")
    memory_mb_used = resource.Body("memory_mb_used")
    disk_gb = resource.Body("disk_gb")
    disk_gb_used = resource.Body("disk_gb_used")
    servers = resource.Body("servers")
    #: Whether it runs short of room, by the thresholds of [lmm].
    is_short = resource.Body("short", type=bool)
    updated_at = resource.Body("updated_at")
