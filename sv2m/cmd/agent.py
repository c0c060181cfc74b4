# SPDX-License-Identifier: Apache-2.0
"""``sv2m-agent``: EDM on a compute host."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import oslo_messaging
from oslo_config import cfg
from oslo_log import log

from sv2m import errors, rpc
from sv2m.clients.barbican import Barbican
from sv2m.clients.keystone import Keystone
from sv2m.cmd import program
from sv2m.edm.server import Endpoint

if TYPE_CHECKING:
    from sv2m.agent.service import Agent

LOG = log.getLogger(__name__)


def check_packages() -> None:
    """Whether what the agent alone needs is installed.

    :raises sv2m.errors.ConfigurationError: naming what is not.
    """
    for name, remedy in (
        ("libvirt", "Install sv2m with its extra: sv2m[agent]."),
        ("nbd", "Install the distribution's package (Debian: python3-libnbd); tools/link-libnbd links it into a venv."),
    ):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise errors.ConfigurationError(f"the agent needs the Python package {name}", remedy=remedy) from error


class Host:
    """The agent and its RPC server."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._agent: Agent | None = None
        self._transport: oslo_messaging.Transport | None = None
        self._server: oslo_messaging.RPCServer | None = None

    def start(self) -> None:
        """Take up what an earlier process left, then listen."""
        from sv2m.agent.service import Agent  # noqa: PLC0415 - not every host of SV2M has libvirt

        self._agent = Agent(self._conf, Barbican(Keystone(self._conf)))
        self._agent.start()
        self._transport = rpc.transport(self._conf)
        self._server = rpc.server(self._transport, rpc.TOPIC_EDM, self._conf.host, [Endpoint(self._agent.jobs)])
        self._server.start()
        LOG.info("Agent is ready")

    def stop(self) -> None:
        """Answer nothing new; undo what cannot outlive this process."""
        if self._server is not None:
            self._server.stop()
        if self._agent is not None:
            self._agent.stop()
        if self._server is not None:
            self._server.wait()
        if self._transport is not None:
            self._transport.cleanup()


@program.told
def main() -> int:
    """Run the agent until told to stop."""
    conf = program.configure()
    return program.run(conf, [Host(conf)], ("host", "agent.state_path"), check_packages)


if __name__ == "__main__":
    sys.exit(main())
