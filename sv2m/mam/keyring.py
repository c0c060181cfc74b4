# SPDX-License-Identifier: Apache-2.0
"""This cloud's private signing keys, in this process's memory, for a while."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sv2m.mam import ports


@dataclass
class _Kept:
    private_key: bytearray = field(repr=False)
    until: float


class Keyring:
    """Fetches keys from Barbican when they are needed, and wipes them when their time is over.

    Which certificate signs is asked of CMM each time: after a renewal the very next migration uses the new
    one, and those that run go on with the certificate that their peer has seen.

    :param lifetime: seconds for which a key stays in memory.
    """

    def __init__(
        self,
        identities: ports.Identities,
        keys: ports.KeyReader,
        lifetime: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identities = identities
        self._keys = keys
        self._lifetime = lifetime
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    @contextmanager
    def signing(self, context: dict[str, Any]) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
        """The private key (PEM) and the chain (DER, leaf first), for one signature.

        :raises sv2m.errors.ConfigurationError: this cloud has no certificate.
        :raises sv2m.errors.HostError: Barbican or CMM failed.
        """
        identity = self._identities.identity(context)
        chain = tuple(base64.b64decode(part) for part in identity["chain_b64"])
        private_key = self._take(identity["private_key_ref"])
        try:
            yield bytes(private_key), chain
        finally:
            private_key[:] = bytes(len(private_key))

    def stop(self) -> None:
        """Wipe every key."""
        with self._lock:
            for ref in list(self._kept):
                self._drop(ref)

    def _take(self, ref: str) -> bytearray:
        """A copy of the key, the caller's to wipe."""
        now = self._clock()
        with self._lock:
            for old in [name for name, kept in self._kept.items() if kept.until <= now]:
                self._drop(old)
            if ref in self._kept:
                return bytearray(self._kept[ref].private_key)
        private_key = self._keys.read(ref)
        if self._lifetime > 0:
            with self._lock:
                if ref in self._kept:
                    self._drop(ref)
                self._kept[ref] = _Kept(bytearray(private_key), now + self._lifetime)
        return private_key

    def _drop(self, ref: str) -> None:
        private_key = self._kept.pop(ref).private_key
        private_key[:] = bytes(len(private_key))
