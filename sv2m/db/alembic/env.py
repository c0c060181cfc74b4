# SPDX-License-Identifier: Apache-2.0
"""What alembic runs: always on the connection that :mod:`sv2m.db.sync` hands over."""

from __future__ import annotations

from alembic import context

from sv2m.db import models

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=models.Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
