# SPDX-License-Identifier: Apache-2.0
"""The way to each compute host's agent: one virtual host of the broker for all, or one for each.

RabbitMQ cannot keep a user who may answer calls from sending some: answers go through the default exchange, by which
every queue of a virtual host is reached. So an agent that shares one with the modules could ask them for signatures and
keys, and with other agents, order them to send their servers away. Alone with the engine it can do neither.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from urllib.parse import quote

import oslo_messaging
from oslo_config import cfg

from sv2m import errors, rpc

#: Connections to agents' virtual hosts that are kept for the next call. Each has a thread that waits for answers.
KEPT = 32
_HOST = "{host}"


class Brokers:
    """Transports by host, opened when first used.

    :param shared: reaches every agent, where ``of`` is None.
    :param of: opens the transport of one host's agent.
    """

    def __init__(
        self,
        shared: oslo_messaging.Transport,
        of: Callable[[str], oslo_messaging.Transport] | None = None,
        kept: int = KEPT,
    ) -> None:
        self._shared = shared
        self._of = of
        self._kept = kept
        self._lock = threading.Lock()
        #: Those used last come last.
        self._open: OrderedDict[str, oslo_messaging.Transport] = OrderedDict()
        self._users: dict[str, int] = {}

    @contextlib.contextmanager
    def reaching(self, host: str) -> Iterator[oslo_messaging.Transport]:
        """Lend the transport by which a host's agent is called."""
        if self._of is None:
            yield self._shared
            return
        transport = self._take(host, self._of)
        try:
            yield transport
        finally:
            self._give_back(host)

    def _take(self, host: str, of: Callable[[str], oslo_messaging.Transport]) -> oslo_messaging.Transport:
        with self._lock:
            # Making one opens no connection, so that nobody waits for another's broker here.
            transport = self._open.get(host) or of(host)
            self._open[host] = transport
            self._open.move_to_end(host)
            self._users[host] = self._users.get(host, 0) + 1
            return transport

    def _give_back(self, host: str) -> None:
        with self._lock:
            self._users[host] -= 1
            if not self._users[host]:
                del self._users[host]
            unused = [one for one in self._open if one not in self._users]
            closed = [self._open.pop(one) for one in unused[: max(0, len(self._open) - self._kept)]]
        for transport in closed:
            transport.cleanup()

    def stop(self) -> None:
        """Close those that were opened here."""
        with self._lock:
            opened = [*self._open.values()]
            self._open.clear()
        for transport in opened:
            transport.cleanup()


def brokers(conf: cfg.ConfigOpts, shared: oslo_messaging.Transport) -> Brokers:
    """The ways to the agents that ``[engine] agent_transport_url`` names.

    :raises sv2m.errors.ConfigurationError: it names no host.
    """
    template: str | None = conf.engine.agent_transport_url
    if not template:
        return Brokers(shared)
    if _HOST not in template:
        raise errors.ConfigurationError(
            f"[engine] agent_transport_url has no {_HOST}, which stands for the compute host whose agent is called"
        )
    return Brokers(shared, lambda host: rpc.transport(conf, template.replace(_HOST, quote(host, safe=""))))
