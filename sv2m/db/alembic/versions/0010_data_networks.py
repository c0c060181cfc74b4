# SPDX-License-Identifier: Apache-2.0
"""Add where a peer's data endpoints may lie."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column; NULL is what no agreement has said anything about."""
    op.add_column("peers", sa.Column("data_networks", sa.JSON))
