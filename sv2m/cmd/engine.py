# SPDX-License-Identifier: Apache-2.0
"""``sv2m-engine``: the conductor and the modules CMM, AZM, LMM, MAM and KM, each an RPC endpoint of its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import oslo_messaging
from oslo_config import cfg
from oslo_log import log

from sv2m import errors, rpc
from sv2m.cmd import modules, program
from sv2m.cmd.certificates import build_cmm
from sv2m.cmd.modules import Module
from sv2m.conf.engine import ends_early
from sv2m.db import engine as database
from sv2m.edm.brokers import brokers
from sv2m.engine.conductor import Conductor
from sv2m.engine.recovery import Heartbeat, Recovery
from sv2m.engine.roll import Roll
from sv2m.engine.tidying import Tidying
from sv2m.engine.worker import Workers
from sv2m.reporting import ENGINE, Reporting
from sv2m.rounds import Rounds

LOG = log.getLogger(__name__)

Build = Callable[[cfg.ConfigOpts, oslo_messaging.Transport], Module]


class Engine:
    """The modules that ``[engine] modules`` names, served until told to stop."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._servers: list[oslo_messaging.RPCServer] = []
        self._parts: list[program.Part] = []
        self._transport: oslo_messaging.Transport | None = None
        self._stopping = threading.Event()

    def check(self) -> None:
        """Whether its modules are known. :raises sv2m.errors.ConfigurationError: one is not."""
        for name in self._conf.engine.modules:
            if name != "conductor":
                _build(name)
        if "azm" in self._conf.engine.modules:
            program.check_policy(self._conf)

    def start(self) -> None:
        """Open database and broker, start the modules, then take up what was left."""
        conf = self._conf
        if "conductor" in conf.engine.modules and (early := ends_early(conf)):
            LOG.warning("%s", early)
        database.start(conf)
        self._transport = rpc.transport(conf)
        rounds: Sequence[Rounds] = ()
        for name in conf.engine.modules:
            if name == "conductor":
                module, rounds = self._conductor()
            else:
                module = _build(name)(conf, self._transport)
            for part in module.parts:
                part.start()
                self._parts.append(part)
            server = rpc.server(self._transport, module.topic, conf.host, [module.endpoint])
            server.start()
            self._servers.append(server)
        reports = Reporting(ENGINE, conf.host)
        reports.start()
        self._parts.append(reports)
        # Last: what they take up calls the modules.
        for looking in rounds:
            looking.start()
            self._parts.append(looking)
        LOG.info("Engine is ready: %s", ", ".join(conf.engine.modules))

    def stop(self) -> None:
        """Answer nothing new, let steps under way come to their next wait, close connections."""
        # First: steps call the modules of this very process, and must not take their silence for a failure.
        self._stopping.set()
        for server in self._servers:
            server.stop()
        for part in reversed(self._parts):
            part.stop()
        for server in self._servers:
            server.wait()
        if self._transport is not None:
            self._transport.cleanup()

    def _conductor(self) -> tuple[Module, Sequence[Rounds]]:
        conf = self._conf
        agents = brokers(conf, self._transport)
        services = modules.services(conf, self._transport, agents)
        owner = f"engine:{conf.host}"
        workers = Workers(
            lambda: services, owner, conf.engine.threads, timedelta(seconds=conf.engine.stale_after)
        )
        self._stopping = workers.stopping
        endpoint = Conductor(services, workers)
        # The heartbeat ends last but for the brokers: until then nobody takes what the workers have not let go of.
        parts: list[program.Part] = [
            modules.Stopping(agents.stop),
            Heartbeat(conf, workers, owner),
            workers,
            *modules.evidence(conf),
        ]
        rounds = [Recovery(conf, services, workers), Tidying(conf, services), Roll(services, conf.host)]
        return Module(rpc.TOPIC_CONDUCTOR, endpoint, parts), rounds


_BUILDERS: Mapping[str, Build] = {
    "cmm": build_cmm,
    "azm": modules.build_azm,
    "lmm": modules.build_lmm,
    "mam": modules.build_mam,
    "km": modules.build_km,
}


def _build(name: str) -> Build:
    try:
        return _BUILDERS[name]
    except KeyError as error:
        known = ", ".join(["conductor", *_BUILDERS])
        raise errors.ConfigurationError(f"[engine] modules: {name} is none of {known}") from error


@program.told
def main() -> int:
    """Run the engine until told to stop."""
    conf = program.configure()
    engine = Engine(conf)
    return program.run(conf, [engine], ("cloud_name", "database.connection"), engine.check)


if __name__ == "__main__":
    sys.exit(main())
