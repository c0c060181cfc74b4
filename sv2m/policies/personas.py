# SPDX-License-Identifier: Apache-2.0
"""The personas that the defaults speak of, each a rule of its own.

One line of ``policy.yaml`` so changes a persona for all. No call asks for one of them; the rules of calls name them.
"""

from __future__ import annotations

from oslo_policy import policy

ADMIN = "rule:context_is_admin"
MANAGER = "rule:secure_migration:persona:manager"
ADMIN_OR_PROJECT_MANAGER = "rule:secure_migration:persona:project_manager"
ADMIN_OR_PROJECT_MEMBER = "rule:secure_migration:persona:project_member"
ADMIN_OR_PROJECT_READER = "rule:secure_migration:persona:project_reader"

#: What somebody has to be whom a rule with this check allows.
NEEDED = {
    ADMIN: "the role admin",
    MANAGER: "the role manager, or admin",
    ADMIN_OR_PROJECT_MANAGER: "the role manager in the project, or admin",
    ADMIN_OR_PROJECT_MEMBER: "the role member in the project, or admin",
    ADMIN_OR_PROJECT_READER: "the role reader in the project, or admin",
}

RULES = [
    policy.RuleDefault(name=check.removeprefix("rule:"), check_str=check_str, description=description)
    for check, check_str, description in (
        (ADMIN, "role:admin", "Who is an administrator of the cloud."),
        (MANAGER, f"{ADMIN} or role:manager", "A manager of any project, or an administrator."),
        (
            ADMIN_OR_PROJECT_MANAGER,
            f"{ADMIN} or (role:manager and project_id:%(project_id)s)",
            "A manager of the project, or an administrator.",
        ),
        (
            ADMIN_OR_PROJECT_MEMBER,
            f"{ADMIN} or (role:member and project_id:%(project_id)s)",
            "A member of the project, or an administrator.",
        ),
        (
            ADMIN_OR_PROJECT_READER,
            f"{ADMIN} or (role:reader and project_id:%(project_id)s)",
            "A reader of the project, or an administrator.",
        ),
    )
]
