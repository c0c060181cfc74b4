# SPDX-License-Identifier: Apache-2.0
"""Keep documents in parts.

A document may have tens of megabytes (the Transfer of a very large VM). One statement or row of that size
needs a max_allowed_packet that no database has by default.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sv2m.db.columns import document, part
from sv2m.db.models import PART_BYTES

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of parts, and move the documents into it."""
    parts = op.create_table(
        "message_parts",
        sa.Column("message_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("content", part(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "number", name="pk_message_parts"),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name="fk_message_parts_message_id"),
    )
    connection = op.get_bind()
    kept = sa.table("messages", sa.column("id", sa.Integer), sa.column("document", document()))
    for message_id in connection.scalars(sa.select(kept.c.id)).all():
        content = connection.scalar(sa.select(kept.c.document).where(kept.c.id == message_id)) or b""
        for number, start in enumerate(range(0, len(content), PART_BYTES)):
            piece = content[start : start + PART_BYTES]
            connection.execute(sa.insert(parts).values(message_id=message_id, number=number, content=piece))
    with op.batch_alter_table("messages") as table:
        table.drop_column("document")
