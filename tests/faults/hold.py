# SPDX-License-Identifier: Apache-2.0
"""Holding a migration in a phase, with nothing but the database: the product runs as it is.

Every step of an engine writes its row before it is relied on, so the row is where an engine can be made to wait. A
trigger on the table makes exactly those writes that belong to the wanted moment of the wanted phase wait for a lock of
MariaDB's, which the holder has; closing the holder's connection lets them go. To the engine it is a slow database.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pymysql

from lab.cloud import PORTS
from tests.cloud.world import Side
from tests.faults.matrix import DURING, ENTERED, LEAVING, UNWRITTEN, WITHIN

#: Seconds after which a held write goes on even if nobody lets it go.
_LONGEST = 240
#: At A an engine's write: sv2m-api, which hands a new migration over, and an operator's abort leave it to whoever has
#: it. At B the gateway writes as well, and it is what answers the peer.
_ENGINE = " AND (NEW.role = 'destination' OR NEW.owner IS NOT NULL)"
_CONDITIONS = {
    ENTERED: _ENGINE,
    WITHIN: _ENGINE,
    DURING: " AND NEW.phase = OLD.phase AND NOT (NEW.state <=> OLD.state AND NEW.bytes_done <=> OLD.bytes_done)",
    LEAVING: " AND NEW.phase <> OLD.phase",
}


def connect(side: Side) -> Any:
    """A connection to a cloud's SV2M database, as SV2M's own database user."""
    cloud = side.session.cloud
    with side.session.in_network():
        return pymysql.connect(
            host="127.0.0.1",
            port=PORTS["mariadb"],
            user="sv2m",
            password=cloud.credentials.password("mariadb-sv2m"),
            database="sv2m",
            autocommit=True,
            connect_timeout=20,
        )


@dataclass
class Hold:
    """A moment of a phase in which whoever gets there waits."""

    side: Side
    role: str
    phase: str
    moment: str
    #: The server's: only its migration is held, others pass.
    server_name: str
    lock: str
    _connection: Any = field(default=None, repr=False)

    def take(self) -> None:
        """Hold the lock; do this before :func:`arm`."""
        self._connection = connect(self.side)
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 10)", (self.lock,))
            assert cursor.fetchone() == (1,), f"{self.lock} is held by somebody else"

    def waiting(self) -> bool:
        """Whether somebody has come to this moment and waits there."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'")
            return bool(cursor.fetchone()[0])

    def let_go(self) -> None:
        """Whoever waits goes on."""
        if self._connection is not None:
            with contextlib.suppress(pymysql.MySQLError, OSError):
                self._connection.close()
            self._connection = None

    @property
    def condition(self) -> str:
        """In the trigger: whether this write is to wait."""
        whose = f"NEW.role = '{self.role}' AND NEW.server_name = '{self.server_name}'"
        if (self.role, self.phase) in UNWRITTEN:
            return whose
        return f"{whose} AND OLD.phase = '{self.phase}'{_CONDITIONS[self.moment]}"


def arm(side: Side, holds: Sequence[Hold]) -> None:
    """Make the database of this cloud wait at these holds; none of them: not any more."""
    at = [hold for hold in holds if hold.side is side]
    made = [hold for hold in at if (hold.role, hold.phase) in UNWRITTEN]
    changed = [hold for hold in at if hold not in made]
    connection = connect(side)
    with contextlib.closing(connection), connection.cursor() as cursor:
        for name, event, chosen in (("insert", "INSERT", made), ("update", "UPDATE", changed)):
            cursor.execute(f"DROP TRIGGER IF EXISTS hold_{name}")
            if chosen:
                cursor.execute(
                    f"CREATE TRIGGER hold_{name} BEFORE {event} ON migrations FOR EACH ROW BEGIN "
                    + " ".join(_wait(hold) for hold in chosen)
                    + " END"
                )


def _wait(hold: Hold) -> str:
    lock = f"IF GET_LOCK('{hold.lock}', {_LONGEST}) THEN DO RELEASE_LOCK('{hold.lock}'); END IF;"
    return f"IF {hold.condition} THEN {lock} END IF;"
