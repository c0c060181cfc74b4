# SPDX-License-Identifier: Apache-2.0
"""Check strings of the personas that the defaults speak of."""

from __future__ import annotations

ADMIN = "role:admin"
MANAGER = "role:admin or role:manager"
ADMIN_OR_PROJECT_MANAGER = "role:admin or (role:manager and project_id:%(project_id)s)"
ADMIN_OR_PROJECT_READER = "role:admin or (role:reader and project_id:%(project_id)s)"
