# SPDX-License-Identifier: Apache-2.0
"""Rules of migrations. ``project_id`` is the project of the server, and so of its migration."""

from __future__ import annotations

from oslo_policy import policy

from sv2m.policies import personas

CREATE = "secure_migration:migrations:create"
LIST = "secure_migration:migrations:list"
LIST_ALL = "secure_migration:migrations:list_all_projects"
SHOW = "secure_migration:migrations:show"
ABORT = "secure_migration:migrations:abort"
DECIDE = "secure_migration:migrations:decide"
EVIDENCE = "secure_migration:migrations:evidence"

RULES = [
    policy.DocumentedRuleDefault(
        name=CREATE,
        check_str=personas.ADMIN_OR_PROJECT_MANAGER,
        description="Move a server to another cloud.",
        operations=[{"method": "POST", "path": "/v1/migrations"}],
        scope_types=["project"],
    ),
    policy.DocumentedRuleDefault(
        name=LIST,
        check_str=personas.ADMIN_OR_PROJECT_READER,
        description="List the migrations of the project.",
        operations=[{"method": "GET", "path": "/v1/migrations"}],
        scope_types=["project"],
    ),
    policy.DocumentedRuleDefault(
        name=LIST_ALL,
        check_str=personas.ADMIN,
        description="List the migrations of all projects.",
        operations=[{"method": "GET", "path": "/v1/migrations?all_projects=true"}],
        scope_types=["project"],
    ),
    policy.DocumentedRuleDefault(
        name=SHOW,
        check_str=personas.ADMIN_OR_PROJECT_READER,
        description="Show a migration.",
        operations=[{"method": "GET", "path": "/v1/migrations/{migration_id}"}],
        scope_types=["project"],
    ),
    policy.DocumentedRuleDefault(
        name=ABORT,
        check_str=personas.ADMIN_OR_PROJECT_MEMBER,
        description="Abort a migration. Its server is locked meanwhile: whoever may use that may get it back.",
        operations=[{"method": "POST", "path": "/v1/migrations/{migration_id}/abort"}],
        scope_types=["project"],
    ),
    policy.DocumentedRuleDefault(
        name=DECIDE,
        check_str=personas.ADMIN,
        description="Decide how a migration goes on of which nobody else can say it: the cloud answers for it.",
        operations=[{"method": "POST", "path": "/v1/migrations/{migration_id}/decide"}],
        scope_types=["project"],
    ),
    policy.DocumentedRuleDefault(
        name=EVIDENCE,
        check_str=personas.ADMIN_OR_PROJECT_MANAGER,
        description="Download the signed messages of a migration.",
        operations=[{"method": "GET", "path": "/v1/migrations/{migration_id}/evidence"}],
        scope_types=["project"],
    ),
]
