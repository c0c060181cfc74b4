# SPDX-License-Identifier: Apache-2.0
"""Add when a migration that has ended is next tidied up after. Those that ended before this need it no more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sv2m.db.columns import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column and its index."""
    op.add_column("migrations", sa.Column("tidy_at", UtcDateTime, nullable=True))
    op.create_index("ix_migrations_tidy_at", "migrations", ["tidy_at"])
