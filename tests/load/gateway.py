# SPDX-License-Identifier: Apache-2.0
"""A gateway in a process of its own: ``python -m tests.load.gateway PORT CERTIFICATE``.

The program's own listener, with RPC in memory to a conductor that takes everything.
"""

from __future__ import annotations

import sys
from typing import Any

# First, as in the program itself: it chooses oslo.service's threads.
from sv2m.cmd.gateway import Listener

# isort: split
import oslo_messaging
from oslo_config import cfg
from oslo_messaging import conffixture
from oslo_messaging import server as messaging_server

import sv2m.conf
from sv2m import rpc
from sv2m.engine import client as conductor


class Conductor:
    """Takes everything."""

    target = oslo_messaging.Target(version=conductor.Client.VERSION)

    @oslo_messaging.expose
    def receive(self, context: dict[str, Any], document_b64: str, wait: bool = True) -> dict[str, Any]:
        return {"status": 204, "document_b64": None}


def main() -> None:
    port, certificate = sys.argv[1:]
    conf = cfg.ConfigOpts()
    sv2m.conf.register(conf)
    conf([], default_config_files=[])
    conf.set_override("listen_address", "127.0.0.1", "gateway")
    conf.set_override("port", int(port), "gateway")
    conf.set_override("certificate_file", certificate, "gateway")
    conf.set_override("private_key_file", certificate, "gateway")
    messaging = conffixture.ConfFixture(conf)
    messaging.setUp()
    messaging.transport_url = "fake://"
    transport = rpc.transport(conf)
    # The conductor's threads are not the gateway's.
    conf.register_opts(messaging_server._pool_opts)
    conf.set_override("executor_thread_pool_size", 4)
    server = rpc.server(transport, rpc.TOPIC_CONDUCTOR, "here", [Conductor()])
    server.start()
    listener = Listener(conf)
    listener.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    listener.stop()
    server.stop()


if __name__ == "__main__":
    main()
