# SPDX-License-Identifier: Apache-2.0
"""Column types that mean the same on SQLite, MySQL and MariaDB."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An instant: aware UTC in Python, naive UTC with microseconds in the database.

    MySQL's DATETIME drops fractions unless told otherwise, and no DATETIME of it knows a zone. A naive value
    is refused rather than guessed at.
    """

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """The database's own type."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """What is stored."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """What is read."""
        return None if value is None else value.replace(tzinfo=UTC)


def document() -> sa.types.TypeEngine[bytes]:
    """Bytes of any message: BLOB, and LONGBLOB where BLOB would end at 64 KiB."""
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def part() -> sa.types.TypeEngine[bytes]:
    """Bytes of up to 16 MiB: BLOB, and MEDIUMBLOB where BLOB would end at 64 KiB."""
    return sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def text() -> sa.types.TypeEngine[str]:
    """Text of any length: TEXT, and LONGTEXT where TEXT would end at 64 KiB."""
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
