# SPDX-License-Identifier: Apache-2.0
"""B's signs of life: storing a segment may take long, and A must be able to tell that from a destination that hangs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from oslo_log import log

from sv2m.transfer import wire

LOG = log.getLogger(__name__)


class SignsOfLife:
    """Whatever B says on one connection; while it stores something, it says so every so often.

    :param interval: seconds between two signs.
    """

    def __init__(self, sock: socket.socket, interval: float) -> None:
        self._sock = sock
        self._interval = interval
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._storing = self._over = False
        self._thread: threading.Thread | None = None

    def say(self, mark: wire.Mark) -> None:
        """Send a mark. :raises OSError: the connection broke."""
        with self._sending:
            self._sock.sendall(mark.encode())

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Signs are given until the block ends."""
        self._tell(storing=True)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="signs-of-life", daemon=True)
            self._thread.start()
        try:
            yield
        finally:
            self._tell(storing=False)

    def end(self) -> None:
        """No more signs. The connection is shut before or after; a sign that cannot be sent holds nobody up."""
        self._tell(storing=False, over=True)

    def _tell(self, storing: bool, over: bool = False) -> None:
        with self._changed:
            self._storing, self._over = storing, over
            self._changed.notify_all()

    def _run(self) -> None:
        while self._wait_until_due():
            try:
                self.say(wire.Mark(wire.STORING, 0))
            except OSError as error:
                LOG.debug("a sign of life could not be sent: %s", error)
                return

    def _wait_until_due(self) -> bool:
        """Whether a sign is due: something has been stored for a whole interval, or since the last sign."""
        with self._changed:
            while not self._over:
                self._changed.wait_for(lambda: self._storing or self._over)
                if not self._changed.wait_for(lambda: not self._storing or self._over, self._interval):
                    return True
        return False
