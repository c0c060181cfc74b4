# SPDX-License-Identifier: Apache-2.0
"""The writing end of the FIFO through which a domain is restored: never blocks for good."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

from oslo_log import log

from sv2m.errors import HypervisorError

LOG = log.getLogger(__name__)

_PIPE_BYTES = 1 << 20
#: Seconds that libvirt has to say why QEMU ended.
_PATIENCE = 5.0


class FifoWriter:
    """Makes the FIFO, mode 0600, and writes to whoever reads it.

    :param stop: asked about twice a second; when it returns a text, writing ends with that as the reason.
    """

    def __init__(self, path: Path, stop: Callable[[], str | None]) -> None:
        self.path = path
        self._stop = stop
        self._writer = -1

    def make(self) -> None:
        """Make the FIFO."""
        self.path.unlink(missing_ok=True)
        os.mkfifo(self.path, 0o600)

    def open(self, timeout: float) -> None:
        """Wait until somebody reads. :raises HypervisorError: nobody did for ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._writer = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise HypervisorError(f"the FIFO of the restore: {error.strerror}") from error
                self._check()
                if time.monotonic() > deadline:
                    raise HypervisorError("libvirt did not begin to read the restored state") from error
                time.sleep(0.01)
            else:
                fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
                # The name stays until close(): libvirt labels the path once more when it starts QEMU.
                return

    def write(self, data: memoryview) -> None:
        """Write all of ``data``. :raises HypervisorError: the reader has gone, or ``stop`` gave a reason."""
        while data:
            try:
                data = data[os.write(self._writer, data) :]
            except BlockingIOError:
                select.select([], [self._writer], [], 0.5)
                self._check()
            except OSError as error:
                # QEMU has ended; libvirt tells why a moment later.
                deadline = time.monotonic() + _PATIENCE
                while time.monotonic() < deadline:
                    self._check()
                    time.sleep(0.05)
                raise HypervisorError(f"QEMU does not take the restored state: {error.strerror}") from error

    def close(self) -> None:
        """End of the stream, or of everything; safe more than once."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1
        self.path.unlink(missing_ok=True)

    def spoil(self) -> None:
        """End a stream that must not be taken for a whole one, also that of a process that was killed.

        One byte comes before the end: a QEMU whose stream ends without any waits for ever, since nothing wakes it. What
        is no stream of QEMU's it refuses, and ends.
        """
        try:
            if self._writer < 0:
                self._writer = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.write(self._writer, b"\0")
        except OSError as error:
            # Nobody reads, or ever did; or the pipe is full, and has something in it to wake up for.
            LOG.debug("the FIFO of the restore: %s", error)
        self.close()

    def _check(self) -> None:
        reason = self._stop()
        if reason is not None:
            raise HypervisorError(f"the restore ended early: {reason}")
