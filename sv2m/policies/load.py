# SPDX-License-Identifier: Apache-2.0
"""Rules of the load monitor's figures, which show every compute host."""

from __future__ import annotations

from oslo_policy import policy

from sv2m.policies import personas

LIST = "secure_migration:load:list"

RULES = [
    policy.DocumentedRuleDefault(
        name=LIST,
        check_str=personas.ADMIN,
        description="List the load of the compute hosts.",
        operations=[{"method": "GET", "path": "/v1/load"}],
        scope_types=["project"],
    ),
]
