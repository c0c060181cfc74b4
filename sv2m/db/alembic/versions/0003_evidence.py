# SPDX-License-Identifier: Apache-2.0
"""Add the audit log and the timestamps.

Migrations from before have no events. The first event that is appended to one of them says so (action
``adopted``), and it is the beginning of its chain.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sv2m.db.columns import UtcDateTime, part, text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "audit_chains",
        sa.Column("subject", sa.String(36), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.LargeBinary(48), nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_audit_chains"),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("subject", sa.String(36), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("line", text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(48), nullable=False),
        sa.Column("notified", sa.Boolean, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        sa.UniqueConstraint("subject", "number", name="uq_audit_events_subject_number"),
    )
    op.create_index("ix_audit_events_notified", "audit_events", ["notified"])
    op.create_table(
        "timestamps",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("migration_id", sa.String(36), nullable=False),
        sa.Column("covers", sa.String(64), nullable=False),
        sa.Column("response", part(), nullable=True),
        sa.Column("stamped_at", UtcDateTime, nullable=True),
        sa.Column("ca_pem", text(), nullable=True),
        sa.Column("listing", text(), nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", text(), nullable=True),
        sa.Column("due_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_timestamps"),
        sa.UniqueConstraint("migration_id", "covers", name="uq_timestamps_migration_id_covers"),
        sa.ForeignKeyConstraint(["migration_id"], ["migrations.id"], name="fk_timestamps_migration_id"),
    )
    op.create_index("ix_timestamps_due_at", "timestamps", ["due_at"])
