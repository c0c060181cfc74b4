# SPDX-License-Identifier: Apache-2.0
"""``sv2m-api``: the operator-facing API, in a web server of its own."""

from __future__ import annotations

import logging
import ssl
import sys
import threading

from cheroot import wsgi
from oslo_config import cfg

from sv2m import errors
from sv2m.api.whole import Whole
from sv2m.cmd import assembly, program
from sv2m.gateway import door

LOG = logging.getLogger(__name__)


class Listener:
    """The HTTP server in which the API runs."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._server: wsgi.Server | None = None
        self._thread: threading.Thread | None = None
        self._door: door.Door | None = None

    def check(self) -> None:
        """Whether it could listen, by rules that can be read. :raises sv2m.errors.ConfigurationError: it could not."""
        options = self._conf.api
        program.check_listener(
            options.listen_address, options.port, options.certificate_file, options.private_key_file
        )
        program.check_policy(self._conf)

    def start(self) -> None:
        """Listen.

        :raises sv2m.errors.ConfigurationError: the address is taken.
        """
        options = self._conf.api
        application = assembly.api(self._conf)
        largest = self._conf.oslo_middleware.max_request_body_size
        # Every connection has a thread; how many requests are answered at a time is another number.
        server = wsgi.Server(
            (options.listen_address, options.port),
            Whole(application, options.threads, largest, door.HEARD),
            numthreads=options.connections,
            server_name="sv2m-api",
            request_queue_size=128,
        )
        self._door = door.Door(options.connections, options.connections * largest, options.request_timeout)
        # Before anybody has shown a token no header block, and no chunk, beyond these is taken in. What is a little too
        # large the application refuses, in its own words.
        server.max_request_header_size = 16 << 10
        server.max_request_body_size = 4 * largest
        server.ConnectionClass = door.connection(self._door)
        server.gateway = door.gateway(self._door)
        # What is granted to one whole request is not for the next one on the same connection.
        server.keep_alive_conn_limit = 0
        if options.certificate_file:
            server.ssl_adapter = door.Adapter(
                options.certificate_file, options.private_key_file, ssl.TLSVersion.TLSv1_2
            )
        try:
            server.prepare()
        except OSError as error:
            raise errors.ConfigurationError(
                f"cannot listen on {options.listen_address} port {options.port}: {error}"
            ) from error
        self._server = server
        self._door.start()
        self._thread = threading.Thread(target=server.serve, name="api", daemon=True)
        self._thread.start()
        LOG.info("API is ready on %s port %d", options.listen_address, options.port)

    def stop(self) -> None:
        """Stop listening; answers under way are finished."""
        if self._server is not None:
            self._server.stop()
        if self._thread is not None:
            self._thread.join()
        if self._door is not None:
            self._door.stop()


@program.told
def main() -> int:
    """Run the API until told to stop."""
    conf = program.configure()
    listener = Listener(conf)
    required = ("cloud_name", "database.connection")
    return program.run(conf, [listener], required, listener.check)


if __name__ == "__main__":
    sys.exit(main())
