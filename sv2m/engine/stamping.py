# SPDX-License-Identifier: Apache-2.0
"""Timestamps for evidence, in a thread of their own: no migration ever waits for a timestamp authority.

What is to be stamped is found in the database, after the transaction that kept it; an authority that is away is asked
again, less and less often, for ever. Meanwhile ``sv2m-manage evidence status`` shows what is missing, and why.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sv2m import errors
from sv2m.db import audit, messages, timestamps
from sv2m.db import engine as database
from sv2m.db.models import Timestamp
from sv2m.evidence.timestamps import Stamp
from sv2m.rounds import Rounds

LOG = logging.getLogger(__name__)

#: How many are looked for, and asked for, at one look.
_AT_ONCE = 20
_SHORTEST, _LONGEST = timedelta(seconds=10), timedelta(hours=1)


class Authority(Protocol):
    """A timestamp authority."""

    @property
    def ca_pem(self) -> str:
        """The roots that vouch for it."""
        ...

    def stamp(self, data: bytes) -> tuple[bytes, Stamp]:
        """Its answer and what that says. :raises sv2m.errors.SV2MError: there is no good one."""
        ...


class Stamper(Rounds):
    """Looks from time to time.

    :param kinds: the messages that are stamped.
    :param interval: seconds between two looks.
    """

    def __init__(self, authority: Authority | None, kinds: Sequence[str], interval: float) -> None:
        super().__init__("Looking for evidence to stamp", interval)
        self._authority = authority
        self._kinds = tuple(kinds)

    def start(self) -> None:
        """Begin to look, if there is an authority."""
        if self._authority is not None:
            super().start()

    def look(self, now: datetime | None = None) -> int:
        """Ask for everything that is due.

        :returns: how many timestamps were had.
        """
        now = now or datetime.now(UTC)
        with database.session() as session:
            found = timestamps.missing(session, self._kinds, _AT_ONCE)
        for migration_id, covers in found:
            with self.each(f"Migration {migration_id}"), database.session() as session:
                if not timestamps.begin(session, migration_id, covers, now):
                    session.rollback()
        with database.session() as session:
            rows = timestamps.due(session, now, _AT_ONCE)
        had = 0
        for row in rows:
            if not self._stop.is_set():
                with self.each(f"Migration {row.migration_id}"):
                    had += self._try(row, now)
        return had

    def _try(self, row: Timestamp, now: datetime) -> bool:
        again = now + min(_LONGEST, _SHORTEST * 2 ** min(row.attempts, 10))
        with database.session() as session:
            if not timestamps.claim(session, row, again):
                return False
        try:
            if self._authority is None:
                raise errors.ConfigurationError("no timestamp authority is configured")
            ca_pem = self._authority.ca_pem
            response, stamp = self._authority.stamp(covered(row.migration_id, row.covers))
        except errors.SV2MError as error:
            LOG.warning("Migration %s: no timestamp for %s yet: %s", row.migration_id, row.covers, error)
            with database.session() as session:
                timestamps.put_off(session, row.id, f"{error} ({error.code})", again)
            return False
        with database.session() as session:
            timestamps.keep(session, row.id, response, stamp.at, ca_pem)
        LOG.info("Migration %s: %s is stamped at %s", row.migration_id, row.covers, stamp.at)
        return True


def covered(migration_id: str, covers: str) -> bytes:
    """The bytes that a timestamp is of: a message's document, or the line of an audit event with its line break.

    :raises sv2m.errors.NotFound: it is not kept (any more).
    """
    with database.session() as session:
        if covers.startswith(timestamps.AUDIT):
            number = int(covers.removeprefix(timestamps.AUDIT))
            lines = [event.line for event in audit.list_for(session, migration_id) if event.number == number]
            if lines:
                return f"{lines[0]}\n".encode("ascii")
        else:
            message = messages.find(session, migration_id, covers)
            if message is not None:
                return message.document
    raise errors.NotFound(f"{covers} of migration {migration_id} is not kept")
