# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from oslo_messaging import conffixture
from oslo_messaging._drivers import impl_fake

from sv2m import errors, rpc
from sv2m.engine import conductor
from tests.canary import clouds as canaries
from tests.canary.search import Place, Search, files, processes
from tests.protocol import clouds
from tests.unit.db.conftest import database
from tests.unit.engine.conftest import no_pauses

__all__ = ["database", "no_pauses"]


class _Lines(logging.Handler):
    """Everything that anybody logs, at every level, as an operator's file would have it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Heard:
    """What was logged, raised, and said over RPC.

    :param directory: where this test, and what it starts, write everything that they write, temporary files too.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.log = _Lines()
        self.raised: list[str] = []
        self.rpc: list[str] = []

    def places(self) -> list[Place]:
        """All of it, the files that were written meanwhile, and the processes that were started."""
        said = {"log": self.log.lines, "exceptions": self.raised, "RPC": self.rpc}
        found = [(name, "\n".join(lines).encode(errors="surrogatepass")) for name, lines in said.items()]
        return [*found, *files(self._directory), *processes(self._directory)]


@pytest.fixture
def quick(database: sa.Engine) -> sa.Engine:
    """Nobody pulls the plug here: the disk need not be waited for."""
    database.dispose()

    @sa.event.listens_for(database, "connect")
    def _(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    return database


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    made = Heard(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    root = logging.getLogger()
    # SQLAlchemy shows parameters only at these levels.
    levels = {name: logging.getLogger(name).level for name in ("", "sqlalchemy.engine", "oslo_messaging")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(made.log)
    init, send, reply = errors.SV2MError.__init__, impl_fake.FakeDriver._send, impl_fake.FakeIncomingMessage.reply

    def raised(self: errors.SV2MError, *args: Any, **kwargs: Any) -> None:
        made.raised.append(repr((args, kwargs)))
        init(self, *args, **kwargs)

    def sent(self: Any, target: Any, ctxt: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        made.rpc.append(json.dumps([str(target), ctxt, message], default=repr))
        return send(self, target, ctxt, message, *args, **kwargs)

    def replied(self: Any, answer: Any = None, failure: Any = None) -> Any:
        made.rpc.append(json.dumps([answer, failure], default=repr))
        return reply(self, answer, failure)

    monkeypatch.setattr(errors.SV2MError, "__init__", raised)
    monkeypatch.setattr(impl_fake.FakeDriver, "_send", sent)
    monkeypatch.setattr(impl_fake.FakeIncomingMessage, "reply", replied)
    yield made
    root.removeHandler(made.log)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Search:
    """From here on migrations are made with keys that can be recognised."""
    monkeypatch.setattr(clouds, "VMK", canaries.VMK)
    monkeypatch.setattr(clouds, "EIK", canaries.EIK)
    monkeypatch.setattr(conductor, "PATIENCE", 5.0)
    return Search(canaries.secrets())


@pytest.fixture
def broker() -> Iterator[canaries.Broker]:
    """RPC in memory, with everything serialised as on a real broker."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    messaging = conffixture.ConfFixture(conf)
    messaging.setUp()
    messaging.transport_url = "fake://"
    made = canaries.Broker(rpc.transport(conf))
    yield made
    made.stop()
    messaging.cleanUp()
    impl_fake.FakeExchangeManager.cleanup()
