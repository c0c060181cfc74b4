# SPDX-License-Identifier: Apache-2.0
"""The tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from sv2m.db.columns import UtcDateTime, part, text

#: Bytes of a document in one row. A statement may need twice as many; no max_allowed_packet is that small.
PART_BYTES = 512 << 10
#: Names for constraints, so that later schema versions can alter them on every database.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Root of the tables."""

    metadata = sa.MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar = {datetime: UtcDateTime, dict[str, Any]: sa.JSON}


class Migration(Base):
    """One migration, as one of the two clouds sees it.

    ``phase`` is the protocol's; (``phase``, ``generation``) is what compare-and-swap compares. ``status`` is
    the operator's view: running, completed, refused, failed, aborted.
    """

    __tablename__ = "migrations"
    __table_args__ = (sa.Index("ix_migrations_owner_status", "owner", "status"),)

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    role: Mapped[str] = mapped_column(sa.String(16))
    peer: Mapped[str] = mapped_column(sa.String(255))
    server_id: Mapped[str | None] = mapped_column(sa.String(36), index=True)
    #: The server while its migration runs here, NULL afterwards. Unique: one migration of a server at a time.
    running_server_id: Mapped[str | None] = mapped_column(sa.String(36), unique=True)
    server_name: Mapped[str] = mapped_column(sa.String(255), default="")
    project_id: Mapped[str] = mapped_column(sa.String(64), index=True)
    user_id: Mapped[str] = mapped_column(sa.String(64), default="")
    phase: Mapped[str] = mapped_column(sa.String(32))
    generation: Mapped[int] = mapped_column(sa.Integer, default=0)
    vm_generation: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    status: Mapped[str] = mapped_column(sa.String(16), default="running", index=True)
    fault: Mapped[str | None] = mapped_column(sa.String(16))
    error_code: Mapped[str | None] = mapped_column(sa.String(64))
    error_message: Mapped[str | None] = mapped_column(text())
    error_remedy: Mapped[str | None] = mapped_column(text())
    host: Mapped[str | None] = mapped_column(sa.String(255))
    needs: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)
    #: References, plan, and what has to be undone. Never a key.
    state: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)
    bytes_total: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    bytes_done: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    #: Those that travelled: without holes and zeros.
    bytes_sent: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    #: Bytes sent per second, smoothed.
    rate: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    #: When the first bytes may have been sent, and when the last ones were seen to be.
    sending_from: Mapped[datetime | None]
    progress_at: Mapped[datetime | None]
    downtime_ms: Mapped[int | None] = mapped_column(sa.BigInteger)
    abort_requested: Mapped[bool] = mapped_column(sa.Boolean, default=False)
    not_after: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(index=True)
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    #: When what a service may have made too late is next looked for; NULL: not yet, or no more.
    tidy_at: Mapped[datetime | None] = mapped_column(index=True)
    #: When the last word is next offered to a peer that did not take it; NULL: now.
    next_try_at: Mapped[datetime | None]
    #: The engine that works on it, and when that engine last said so.
    owner: Mapped[str | None] = mapped_column(sa.String(255))
    owner_seen_at: Mapped[datetime | None]


class Lease(Base):
    """What one engine does for all, see :mod:`sv2m.db.leases`."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(sa.String(255))
    until: Mapped[datetime]
    left: Mapped[str] = mapped_column(text())


class Message(Base):
    """One signed document (or certificate chain, or CRL) of a migration: evidence."""

    __tablename__ = "messages"
    __table_args__ = (sa.UniqueConstraint("migration_id", "kind"),)

    id: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=True)
    migration_id: Mapped[str] = mapped_column(sa.String(36), sa.ForeignKey("migrations.id"))
    kind: Mapped[str] = mapped_column(sa.String(32))
    direction: Mapped[str] = mapped_column(sa.String(16))
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(64))
    at: Mapped[datetime]
    #: Read together with the row, so that it stays readable when the session has ended.
    parts: Mapped[list[MessagePart]] = relationship(order_by="MessagePart.number", lazy="selectin")

    @property
    def document(self) -> bytes:
        """The document's bytes, exactly as they travelled."""
        return b"".join(one.content for one in self.parts)

    @staticmethod
    def cut(document: bytes) -> list[MessagePart]:
        """The parts in which a document is kept."""
        starts = range(0, len(document), PART_BYTES)
        return [
            MessagePart(number=number, content=document[start : start + PART_BYTES])
            for number, start in enumerate(starts)
        ]


class MessagePart(Base):
    """A piece of a document: small enough for a statement of any database, however large the document is."""

    __tablename__ = "message_parts"

    message_id: Mapped[int] = mapped_column(sa.ForeignKey("messages.id"), primary_key=True)
    number: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    content: Mapped[bytes] = mapped_column(part())


class Peer(Base):
    """The agreement with one other cloud."""

    __tablename__ = "peers"

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(255), unique=True)
    url: Mapped[str] = mapped_column(sa.String(1024))
    #: Trusted for the peer's evidence certificate.
    ca_pem: Mapped[str] = mapped_column(text())
    #: Trusted for the peer's TLS; empty means that the evidence CA serves for both.
    tls_ca_pem: Mapped[str] = mapped_column(text(), default="")
    direction: Mapped[str] = mapped_column(sa.String(16))
    #: The project of this cloud that receives the peer's servers.
    project_id: Mapped[str | None] = mapped_column(sa.String(64))
    limits: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)
    volume_type_map: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)
    #: Where its data endpoints must lie, in CIDR notation; none or NULL: at any other host's address.
    data_networks: Mapped[list[str] | None] = mapped_column(sa.JSON)
    enabled: Mapped[bool] = mapped_column(sa.Boolean, default=True)
    #: How often the row was taken, see :func:`sv2m.db.peers.hold`.
    holds: Mapped[int] = mapped_column(sa.BigInteger, default=0, server_default="0")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Service(Base):
    """One program of SV2M on one host, and when it was last known to run."""

    __tablename__ = "services"

    binary: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    version: Mapped[str] = mapped_column(sa.String(64))
    seen_at: Mapped[datetime]


class LedgerEntry(Base):
    """An offer that was accepted once, remembered for ever."""

    __tablename__ = "ledger"
    __table_args__ = (sa.UniqueConstraint("peer", "vm", "vm_generation"),)

    migration_id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    peer: Mapped[str] = mapped_column(sa.String(255))
    vm: Mapped[str] = mapped_column(sa.String(36))
    vm_generation: Mapped[int] = mapped_column(sa.BigInteger)
    at: Mapped[datetime]


class Certificate(Base):
    """An evidence certificate of this cloud. Its private key is in Barbican; here is a reference to it."""

    __tablename__ = "certificates"

    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    state: Mapped[str] = mapped_column(sa.String(16), index=True)
    name: Mapped[str] = mapped_column(sa.String(255))
    serial: Mapped[str | None] = mapped_column(sa.String(64))
    chain_pem: Mapped[str | None] = mapped_column(text())
    certificate_ref: Mapped[str | None] = mapped_column(sa.String(512))
    private_key_ref: Mapped[str | None] = mapped_column(sa.String(512))
    csr_pem: Mapped[str | None] = mapped_column(text())
    not_after: Mapped[datetime | None]
    at: Mapped[datetime]


class AuditChain(Base):
    """The end of one chain of audit events: of a migration, or of the agreement with a peer.

    Whoever appends takes this row first, so that no two events follow the same one.
    """

    __tablename__ = "audit_chains"

    #: The id of the migration or of the agreement.
    subject: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    number: Mapped[int] = mapped_column(sa.Integer)
    #: SHA-384 of the last event's line.
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(48))


class AuditEvent(Base):
    """One event, as the line that its digest was computed over. Written once, never changed."""

    __tablename__ = "audit_events"
    __table_args__ = (sa.UniqueConstraint("subject", "number"),)

    id: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=True)
    subject: Mapped[str] = mapped_column(sa.String(36))
    number: Mapped[int] = mapped_column(sa.Integer)
    #: JSON without a line break; see :mod:`sv2m.db.audit`.
    line: Mapped[str] = mapped_column(text())
    #: SHA-384 of the line and its line break.
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(48))
    #: Whether its notification was emitted.
    notified: Mapped[bool] = mapped_column(sa.Boolean, default=False, index=True)
    at: Mapped[datetime]


class Timestamp(Base):
    """What a timestamp authority said of one piece of a migration's evidence, or that it has not answered yet."""

    __tablename__ = "timestamps"
    __table_args__ = (sa.UniqueConstraint("migration_id", "covers"),)

    id: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=True)
    migration_id: Mapped[str] = mapped_column(sa.String(36), sa.ForeignKey("migrations.id"))
    #: The kind of a message (``Release``), ``audit-N`` (events up to N) or ``archive-N`` (all that there was).
    covers: Mapped[str] = mapped_column(sa.String(64))
    #: The TimeStampResp of RFC 3161, DER; None until there is one.
    response: Mapped[bytes | None] = mapped_column(part())
    #: The authority's time.
    stamped_at: Mapped[datetime | None]
    #: The PEM certificates that were trusted for it.
    ca_pem: Mapped[str | None] = mapped_column(text())
    #: What an archive timestamp covers: a line for each file.
    listing: Mapped[str | None] = mapped_column(text())
    attempts: Mapped[int] = mapped_column(sa.Integer, default=0)
    #: Why there is none yet.
    error: Mapped[str | None] = mapped_column(text())
    #: When it is asked for again.
    due_at: Mapped[datetime | None] = mapped_column(index=True)
