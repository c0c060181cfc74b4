# SPDX-License-Identifier: Apache-2.0
"""Rules about what peers ask of this cloud.

No Keystone token comes with a peer's message: the peer is whom its verified certificate names, and the
agreement with it decides. This rule can only narrow that further. Its credentials are ``peer`` (name),
and ``project_id``; its target holds ``name``, ``vcpus`` and ``memory_mb`` of the offered
server.
"""

from __future__ import annotations

from oslo_policy import policy

ACCEPT = "secure_migration:federation:accept"

RULES = [
    policy.RuleDefault(
        name=ACCEPT,
        check_str="@",
        description="Accept a server that a peer offers, within its agreement. "
        "For instance peer:cloud-a.sv2m accepts that peer's alone.",
    ),
]
