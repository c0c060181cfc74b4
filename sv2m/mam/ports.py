# SPDX-License-Identifier: Apache-2.0
"""What MAM needs from outside. CMM's client and :mod:`sv2m.clients` implement it."""

from __future__ import annotations

from typing import Any, Protocol


class Identities(Protocol):
    """CMM."""

    def identity(self, context: dict[str, Any]) -> dict[str, Any]:
        """``{"chain_b64", "private_key_ref"}`` with which this cloud signs in the context's migration."""
        ...


class KeyReader(Protocol):
    """Barbican."""

    def read(self, ref: str) -> bytearray:
        """The bytes of a secret, to be wiped by the caller."""
        ...
