# SPDX-License-Identifier: Apache-2.0
"""Rules of peers: the agreements with other clouds."""

from __future__ import annotations

from oslo_policy import policy

from sv2m.policies import personas

CREATE = "secure_migration:peers:create"
LIST = "secure_migration:peers:list"
SHOW = "secure_migration:peers:show"
UPDATE = "secure_migration:peers:update"
DELETE = "secure_migration:peers:delete"

RULES = [
    policy.DocumentedRuleDefault(
        name=name,
        check_str=check,
        description=description,
        operations=[{"method": method, "path": path}],
        scope_types=["project"],
    )
    for name, check, description, method, path in (
        (CREATE, personas.ADMIN, "Make an agreement.", "POST", "/v1/peers"),
        (LIST, personas.MANAGER, "List the agreements.", "GET", "/v1/peers"),
        (SHOW, personas.MANAGER, "Show an agreement.", "GET", "/v1/peers/{peer}"),
        (UPDATE, personas.ADMIN, "Change an agreement.", "PATCH", "/v1/peers/{peer}"),
        (DELETE, personas.ADMIN, "End an agreement.", "DELETE", "/v1/peers/{peer}"),
    )
]
