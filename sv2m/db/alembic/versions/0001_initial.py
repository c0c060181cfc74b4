# SPDX-License-Identifier: Apache-2.0
"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sv2m.db.columns import UtcDateTime, document, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table of the first release."""
    op.create_table(
        "migrations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("peer", sa.String(255), nullable=False),
        sa.Column("server_id", sa.String(36)),
        sa.Column("running_server_id", sa.String(36)),
        sa.Column("server_name", sa.String(255), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("vm_generation", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("fault", sa.String(16)),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", text()),
        sa.Column("error_remedy", text()),
        sa.Column("host", sa.String(255)),
        sa.Column("needs", sa.JSON, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("bytes_total", sa.BigInteger, nullable=False),
        sa.Column("bytes_done", sa.BigInteger, nullable=False),
        sa.Column("rate", sa.BigInteger, nullable=False),
        sa.Column("progress_at", UtcDateTime()),
        sa.Column("downtime_ms", sa.BigInteger),
        sa.Column("abort_requested", sa.Boolean, nullable=False),
        sa.Column("not_after", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime()),
        sa.Column("owner", sa.String(255)),
        sa.Column("owner_seen_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_migrations"),
        sa.UniqueConstraint("running_server_id", name="uq_migrations_running_server_id"),
    )
    for column in ("server_id", "project_id", "status", "created_at"):
        op.create_index(f"ix_migrations_{column}", "migrations", [column])
    op.create_table(
        "messages",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("migration_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("document", document(), nullable=False),
        sa.Column("digest", sa.LargeBinary(64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.ForeignKeyConstraint(["migration_id"], ["migrations.id"], name="fk_messages_migration_id"),
        sa.UniqueConstraint("migration_id", "kind", name="uq_messages_migration_id_kind"),
    )
    op.create_table(
        "peers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("url", sa.String(1024), nullable=False),
        sa.Column("ca_pem", text(), nullable=False),
        sa.Column("tls_ca_pem", text(), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(64)),
        sa.Column("limits", sa.JSON, nullable=False),
        sa.Column("volume_type_map", sa.JSON, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_peers"),
        sa.UniqueConstraint("name", name="uq_peers_name"),
    )
    op.create_table(
        "ledger",
        sa.Column("migration_id", sa.String(36), nullable=False),
        sa.Column("peer", sa.String(255), nullable=False),
        sa.Column("vm", sa.String(36), nullable=False),
        sa.Column("vm_generation", sa.BigInteger, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("migration_id", name="pk_ledger"),
        sa.UniqueConstraint("peer", "vm", "vm_generation", name="uq_ledger_peer_vm_vm_generation"),
    )
    op.create_table(
        "certificates",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("serial", sa.String(64)),
        sa.Column("chain_pem", text()),
        sa.Column("certificate_ref", sa.String(512)),
        sa.Column("private_key_ref", sa.String(512)),
        sa.Column("csr_pem", text()),
        sa.Column("not_after", UtcDateTime()),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_certificates"),
    )
    op.create_index("ix_certificates_state", "certificates", ["state"])
