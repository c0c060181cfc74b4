# SPDX-License-Identifier: Apache-2.0
"""Connections and transactions.

oslo.db makes the engine (its ``[database]`` options, reconnection, its translation of driver errors); one
transaction is one ``with session()`` block. Native threads may share the module: each block has a
connection of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import api as oslo_db_api
from oslo_db import options
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql import Executable

from sv2m import errors

T = TypeVar("T")

_lock = threading.Lock()
_in_use: list[sa.Engine] = []


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register oslo.db's options of [database]."""
    options.set_defaults(conf)


def start(conf: cfg.ConfigOpts) -> None:
    """Make the engine from ``[database] connection``. The first query opens the first connection.

    :raises sv2m.errors.ConfigurationError: there is no such kind of database.
    """
    register_opts(conf)
    check(conf)
    factory = enginefacade.transaction_context()
    factory.configure(sqlite_fk=True, **dict(conf.database))
    engine = factory.writer.get_engine()
    # An error of the database then does not quote what was to be written: errors are logged.
    engine.hide_parameters = True
    if engine.dialect.name == "sqlite":
        _lock_first(engine)
    use(engine)


def check(conf: cfg.ConfigOpts) -> None:
    """Whether ``[database] connection`` can name a database. It is not connected to.

    :raises sv2m.errors.ConfigurationError: it cannot, or its driver is not installed.
    """
    try:
        url = sa.make_url(conf.database.connection or "")
    except (sa.exc.ArgumentError, ValueError):
        # Neither the URL nor what is wrong with it is quoted: its password may stand where nobody expects it.
        raise errors.ConfigurationError(
            "[database] connection is no URL of the form mysql+pymysql://USER:PASSWORD@HOST/DATABASE; special "
            "characters in its parts are percent-encoded"
        ) from None
    try:
        url.get_dialect().import_dbapi()
    except (sa.exc.NoSuchModuleError, ImportError) as error:
        raise errors.ConfigurationError(f"[database] connection: {url.drivername} is not installed: {error}") from error


def _lock_first(engine: sa.Engine) -> None:
    """Let SQLite's transactions take the lock for writing as they begin, not when they first write.

    Of two that have both read and now want to write, SQLite makes one fail at once, however long it is told to wait.
    """

    @sa.event.listens_for(engine, "before_cursor_execute", retval=True)
    def begin(_c: Any, _u: Any, statement: str, parameters: Any, _x: Any, _m: bool) -> tuple[str, Any]:
        # oslo.db begins SQLite's transactions by this statement.
        return ("BEGIN IMMEDIATE" if statement == "BEGIN" else statement), parameters


def use(engine: sa.Engine | None) -> None:
    """Take this engine from now on (None: none)."""
    with _lock:
        _in_use[:] = [] if engine is None else [engine]


def current() -> sa.Engine:
    """The engine in use.

    :raises RuntimeError: :func:`start` has not been called.
    """
    if not _in_use:
        raise RuntimeError("the database was not started: call sv2m.db.engine.start(conf) first")
    return _in_use[0]


def ping() -> None:
    """One query, of nothing. :raises Exception: the database does not answer."""
    with session() as opened:
        opened.execute(sa.text("SELECT 1"))


@contextmanager
def session() -> Iterator[Session]:
    """One transaction: committed when the block ends, rolled back when it raises.

    What it returned stays readable afterwards.
    """
    with sessionmaker(current(), expire_on_commit=False).begin() as opened:
        yield opened


def written(session: Session, statement: Executable) -> int:
    """Execute an INSERT, UPDATE or DELETE.

    :returns: how many rows it wrote: what tells the winner of a compare-and-swap from the loser.
    """
    result = session.execute(statement.execution_options(synchronize_session=False))
    return cast("sa.CursorResult[Any]", result).rowcount


def now(session: Session) -> datetime:
    """The database's clock: by it engines on several controllers agree on how long one of them has been silent."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    # In UTC whatever the server's zone is; DATETIME knows none.
    told: datetime = session.execute(sa.select(sa.func.utc_timestamp(sa.literal_column("6")))).scalar_one()
    return told.replace(tzinfo=UTC)


def transaction(work: Callable[[Session], T]) -> T:
    """Run ``work`` in a transaction of its own.

    It runs again when the database was away for a moment or chose it as the victim of a deadlock; so it
    must be repeatable: database calls only.
    """

    def attempt() -> T:
        with session() as opened:
            return work(opened)

    retry = oslo_db_api.wrap_db_retry(max_retries=5, retry_on_deadlock=True, retry_on_disconnect=True)
    return cast("Callable[[], T]", retry(attempt))()
