# SPDX-License-Identifier: Apache-2.0
"""Peers: the agreements with other clouds."""

from __future__ import annotations

from openstack import resource


class Peer(resource.Resource):
    """The agreement with one other cloud. Its name serves as id everywhere."""

    resource_key = "peer"
    resources_key = "peers"
    base_path = "/peers"

    allow_create = True
    allow_fetch = True
    allow_list = True
    allow_commit = True
    allow_delete = True
    commit_method = "PATCH"

    _query_mapping = resource.QueryParameters()

    url = resource.Body("url")
    ca_pem = resource.Body("ca_pem")
    tls_ca_pem = resource.Body("tls_ca_pem")
    #: outgoing, incoming or both.
    direction = resource.Body("direction")
    project_id = resource.Body("project_id")
    limits = resource.Body("limits", type=dict)
    #: With the cloud's own, where the agreement has none.
    effective_limits = resource.Body("effective_limits", type=dict)
    volume_type_map = resource.Body("volume_type_map", type=dict)
    data_networks = resource.Body("data_networks", type=list)
    is_enabled = resource.Body("enabled", type=bool)
    created_at = resource.Body("created_at")
    updated_at = resource.Body("updated_at")
