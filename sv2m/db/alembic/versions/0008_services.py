# SPDX-License-Identifier: Apache-2.0
"""Add what programs of SV2M have reported themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sv2m.db.columns import UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "services",
        sa.Column("binary", sa.String(64), primary_key=True),
        sa.Column("host", sa.String(255), primary_key=True),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
    )
