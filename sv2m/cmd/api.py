# SPDX-License-Identifier: Apache-2.0
"""``sv2m-api``: the operator-facing API, in a web server of its own."""

from __future__ import annotations

import logging
import sys
import threading

from cheroot import wsgi
from cheroot.ssl import builtin
from oslo_config import cfg

from sv2m import errors
from sv2m.cmd import assembly, program

LOG = logging.getLogger(__name__)


class Listener:
    """The HTTP server in which the API runs."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._server: wsgi.Server | None = None
        self._thread: threading.Thread | None = None

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
        server = wsgi.Server(
            (options.listen_address, options.port),
            assembly.api(self._conf),
            numthreads=options.threads,
            server_name="sv2m-api",
            request_queue_size=128,
        )
        if options.certificate_file:
            server.ssl_adapter = builtin.BuiltinSSLAdapter(options.certificate_file, options.private_key_file)
        try:
            server.prepare()
        except OSError as error:
            raise errors.ConfigurationError(
                f"cannot listen on {options.listen_address} port {options.port}: {error}"
            ) from error
        self._server = server
        self._thread = threading.Thread(target=server.serve, name="api", daemon=True)
        self._thread.start()
        LOG.info("API is ready on %s port %d", options.listen_address, options.port)

    def stop(self) -> None:
        """Stop listening; answers under way are finished."""
        if self._server is not None:
            self._server.stop()
        if self._thread is not None:
            self._thread.join()


@program.told
def main() -> int:
    """Run the API until told to stop."""
    conf = program.configure()
    listener = Listener(conf)
    required = ("cloud_name", "database.connection")
    return program.run(conf, [listener], required, listener.check)


if __name__ == "__main__":
    sys.exit(main())
