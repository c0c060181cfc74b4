# SPDX-License-Identifier: Apache-2.0
"""Key pairs for the ephemeral key ekB, made ahead, because a migration should not wait for prime numbers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from oslo_log import log

from sv2m.km.buffers import wipe

LOG = log.getLogger(__name__)
#: Seconds after which making keys is tried again when it failed.
_RETRY = 30.0


@dataclass
class KeyPair:
    """An RSA key pair for one migration."""

    public_key: bytes
    """SubjectPublicKeyInfo, DER."""
    private_key: bytearray = field(repr=False)
    """PKCS#8, PEM, to be wiped after use."""


class Pool:
    """A few key pairs, in this process's memory only: never twice given out, gone when it ends.

    :param make: makes one pair: public key as SubjectPublicKeyInfo DER, private key as PKCS#8 PEM.
    :param size: how many are kept ready.
    """

    def __init__(self, make: Callable[[], tuple[bytes, bytes]], size: int) -> None:
        self._make = make
        self._ready: queue.Queue[KeyPair] = queue.Queue(maxsize=max(size, 1))
        self._size = size
        self._stop = threading.Event()
        self._taken = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to fill the pool, in a thread."""
        if self._size and self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._fill, name="km-ekb-pool", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop filling, and wipe what nobody took."""
        self._stop.set()
        self._taken.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        while True:
            try:
                wipe(self._ready.get_nowait().private_key)
            except queue.Empty:
                return

    def take(self) -> KeyPair:
        """A key pair that nobody else gets: a ready one, or, when there is none, one made now."""
        try:
            pair = self._ready.get_nowait()
        except queue.Empty:
            return self._new()
        self._taken.set()
        return pair

    @property
    def ready(self) -> int:
        """How many are ready."""
        return self._ready.qsize()

    def _new(self) -> KeyPair:
        public_key, private_key = self._make()
        return KeyPair(public_key, bytearray(private_key))

    def _fill(self) -> None:
        while True:
            self._taken.clear()
            if self._stop.is_set():  # looked at after the clearing, which else could take stop()'s word away
                return
            try:
                while not self._stop.is_set() and self._ready.qsize() < self._size:
                    self._ready.put(self._new())
            except Exception as error:
                # Only the kind: what a cryptographic library puts into its message is not ours to print.
                LOG.error("Making a key pair failed (%s); again in %d s", type(error).__name__, _RETRY)
                self._taken.wait(_RETRY)
                continue
            self._taken.wait()
