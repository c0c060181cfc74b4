# SPDX-License-Identifier: Apache-2.0
"""What AZM needs from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sv2m.azm.agreement import Agreement


class Rules(Protocol):
    """oslo.policy: :class:`sv2m.policies.enforcer.Enforcer`."""

    def allows(self, rule: str, credentials: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
        """Whether a rule says yes."""
        ...

    def needed(self, rule: str) -> str:
        """Who may do what a rule guards, in words."""
        ...


class Agreements(Protocol):
    """The database."""

    def find(self, peer: str) -> Agreement | None:
        """The agreement with a peer, or None."""
        ...
