# SPDX-License-Identifier: Apache-2.0
"""What CMM needs from outside. :mod:`sv2m.clients` implements it; errors are those of :mod:`sv2m.errors`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

#: Fetches a URL: its body, at most so many bytes.
Fetch = Callable[[str, int], bytes]


class SecretStore(Protocol):
    """Barbican."""

    def store(
        self,
        payload: bytes | bytearray,
        *,
        name: str,
        secret_type: str,
        algorithm: str | None = None,
        bit_length: int | None = None,
    ) -> str:
        """Store bytes in SV2M's own project; their reference."""
        ...

    def delete(self, ref: str) -> None:
        """Delete; no error when it is gone already."""
        ...


@dataclass(frozen=True)
class Issued:
    """What an EST server answers: certificates, in no order that may be relied on."""

    certificates: Sequence[x509.Certificate]


class EnrolmentService(Protocol):
    """The CA's EST server."""

    def cacerts(self) -> Issued:
        """The CA's own certificates."""
        ...

    def simpleenroll(self, csr_der: bytes) -> Issued:
        """A first certificate for a request (PKCS#10)."""
        ...

    def simplereenroll(self, csr_der: bytes) -> Issued:
        """The next certificate for the same name."""
        ...
