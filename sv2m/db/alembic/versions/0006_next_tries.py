# SPDX-License-Identifier: Apache-2.0
"""Add when a last word is next offered to the peer, an index by owner, and what one engine does for all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sv2m.db.columns import UtcDateTime, text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add column, index and table."""
    op.add_column("migrations", sa.Column("next_try_at", UtcDateTime, nullable=True))
    op.create_index("ix_migrations_owner_status", "migrations", ["owner", "status"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("until", UtcDateTime, nullable=False),
        sa.Column("left", text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
