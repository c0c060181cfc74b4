# SPDX-License-Identifier: Apache-2.0
"""Add what whoever takes an agreement's row writes there, so that every database sees that two have taken it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    op.add_column("peers", sa.Column("holds", sa.BigInteger, nullable=False, server_default="0"))
