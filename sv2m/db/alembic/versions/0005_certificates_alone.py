# SPDX-License-Identifier: Apache-2.0
"""Keep of what was given as certificates the certificates alone.

What stood beside them was kept as well, before it was looked at: a private key, for one. An agreement keeps only its
certificates. Evidence is left as it is where it holds no key: the audit log has its digest.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_KEY = "PRIVATE KEY"


def upgrade() -> None:
    """Take everything else away."""
    connection = op.get_bind()
    peers = sa.table("peers", sa.column("id"), sa.column("ca_pem"), sa.column("tls_ca_pem"))
    for row in connection.execute(sa.select(peers)).all():
        cleaned = {"ca_pem": _certificates(row.ca_pem), "tls_ca_pem": _certificates(row.tls_ca_pem)}
        connection.execute(sa.update(peers).where(peers.c.id == row.id).values(**cleaned))
    stamps = sa.table("timestamps", sa.column("id"), sa.column("ca_pem"))
    for row in connection.execute(sa.select(stamps).where(stamps.c.ca_pem.contains(_KEY))).all():
        cleaned = {"ca_pem": _certificates(row.ca_pem)}
        connection.execute(sa.update(stamps).where(stamps.c.id == row.id).values(**cleaned))
    _clean_evidence(connection)


def _clean_evidence(connection: sa.Connection) -> None:
    """The copies of an agreement's CA: each is one part, as no CA is as large as a part."""
    messages = sa.table("messages", sa.column("id"), sa.column("kind"))
    parts = sa.table("message_parts", sa.column("message_id"), sa.column("number"), sa.column("content"))
    of_ca = parts.c.message_id.in_(sa.select(messages.c.id).where(messages.c.kind == "ca"))
    for row in connection.execute(sa.select(parts).where(of_ca)).all():
        text = bytes(row.content).decode("utf-8", "replace")
        if _KEY in text:
            this = sa.and_(parts.c.message_id == row.message_id, parts.c.number == row.number)
            connection.execute(sa.update(parts).where(this).values(content=_certificates(text).encode()))


def _certificates(text: str | None) -> str:
    return "".join(f"{block}\n" for block in _CERTIFICATE.findall(text or ""))
