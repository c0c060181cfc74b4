# SPDX-License-Identifier: Apache-2.0
"""``sv2m-gateway``: receives peers' control messages over TLS."""

from __future__ import annotations

import logging
import sys
import threading

from cheroot import wsgi
from oslo_config import cfg

from sv2m import errors, protocol, rpc
from sv2m.cmd import program
from sv2m.engine import client as conductor
from sv2m.gateway import app, door
from sv2m.reporting import GATEWAY, Reporting

LOG = logging.getLogger(__name__)

#: Bytes of bodies that are read at a time: four of the largest documents there are.
_BODIES = 4 * protocol.MAX_DOCUMENT


class _Server(wsgi.Server):
    """cheroot's server, with SV2M's logging."""

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """What cheroot says about connections that broke: strangers' noise, which nobody should have to read."""
        LOG.debug("%s", msg, exc_info=traceback)


class Listener:
    """The TLS server in which the gateway's application runs."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._server: wsgi.Server | None = None
        self._thread: threading.Thread | None = None
        self._transport = None
        self._door: door.Door | None = None
        self._reports: Reporting | None = None

    def check(self) -> None:
        """Whether it could listen. :raises sv2m.errors.ConfigurationError: it could not."""
        options = self._conf.gateway
        program.check_listener(
            options.listen_address, options.port, options.certificate_file, options.private_key_file
        )

    def start(self) -> None:
        """Listen."""
        options = self._conf.gateway
        self._transport = rpc.transport(self._conf)
        asked = conductor.Client(self._transport, options.peer_timeout, rpc.Broker(self._conf))
        application = app.Gateway(asked, options.threads)
        # Every connection has a thread; how many messages the engine is asked about at a time is another number.
        server = _Server(
            (options.listen_address, options.port),
            application,
            numthreads=options.connections,
            server_name=self._conf.cloud_name or "sv2m",
            # A stranger who sends nothing is cut off, and one who sends little is by the door.
            timeout=options.request_timeout,
            request_queue_size=128,
        )
        self._door = door.Door(options.connections, _BODIES, options.message_timeout)
        server.ssl_adapter = door.Adapter(options.certificate_file, options.private_key_file)
        server.ConnectionClass = door.connection(self._door)
        server.gateway = door.gateway(self._door)
        # A peer's client makes a new connection for each message; a kept one is but a place taken.
        server.keep_alive_conn_limit = 0
        # Read before the application sees anything: no header block or body beyond these is taken in.
        server.max_request_header_size = 16 << 10
        server.max_request_body_size = 64 << 20
        try:
            server.prepare()
        except OSError as error:
            raise errors.ConfigurationError(
                f"cannot listen on {options.listen_address} port {options.port}: {error}"
            ) from error
        self._server = server
        self._door.start()
        self._reports = Reporting(
            GATEWAY, self._conf.host, lambda *what: asked.report({"request_id": "report"}, *what)
        )
        self._reports.start()
        self._thread = threading.Thread(target=server.serve, name="gateway", daemon=True)
        self._thread.start()
        LOG.info("Gateway is ready on %s port %d", options.listen_address, options.port)

    def stop(self) -> None:
        """Stop listening; answers under way are finished."""
        if self._server is not None:
            self._server.stop()
        if self._thread is not None:
            self._thread.join()
        if self._door is not None:
            self._door.stop()
        if self._reports is not None:
            self._reports.stop()
        if self._transport is not None:
            self._transport.cleanup()


@program.told
def main() -> int:
    """Run the gateway until told to stop."""
    conf = program.configure()
    listener = Listener(conf)
    required = ("cloud_name", "gateway.certificate_file", "gateway.private_key_file")
    return program.run(conf, [listener], required, listener.check)


if __name__ == "__main__":
    sys.exit(main())
