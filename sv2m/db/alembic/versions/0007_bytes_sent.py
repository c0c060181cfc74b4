# SPDX-License-Identifier: Apache-2.0
"""Add how many bytes of a migration have travelled, and since when. Of those before, nobody knows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sv2m.db.columns import UtcDateTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("migrations", sa.Column("bytes_sent", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("migrations", sa.Column("sending_from", UtcDateTime, nullable=True))
