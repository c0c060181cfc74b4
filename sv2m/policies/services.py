# SPDX-License-Identifier: Apache-2.0
"""Rules of the list of SV2M's own programs, which names hosts."""

from __future__ import annotations

from oslo_policy import policy

from sv2m.policies import personas

LIST = "secure_migration:services:list"

RULES = [
    policy.DocumentedRuleDefault(
        name=LIST,
        check_str=personas.ADMIN,
        description="List the programs of SV2M and whether they run.",
        operations=[{"method": "GET", "path": "/v1/services"}],
        scope_types=["project"],
    ),
]
