# SPDX-License-Identifier: Apache-2.0
"""What was agreed with a peer, and whether something is within it.

Each refusal names the agreement and the field that says no, so that whoever reads it knows whom to ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sv2m import errors
from sv2m.protocol.luks import volume_gb

OUTGOING = "outgoing"
INCOMING = "incoming"
BOTH = "both"


@dataclass(frozen=True)
class Agreement:
    """The agreement with one peer.

    :param limits: of one arriving server: ``memory_mb``, ``vcpus``, ``disk_gb``; and ``migrations``, how many
        may be arriving at once; this cloud's own among them (limits.py). What is not named is not limited.
    """

    id: str
    peer: str
    direction: str
    enabled: bool
    ca_pem: str
    project_id: str | None
    limits: Mapping[str, Any] = field(default_factory=dict)

    def check_outgoing(self) -> None:
        """That servers may go to this peer.

        :raises sv2m.errors.AgreementError: naming the field that says no.
        """
        self._check_usable()
        if self.direction not in {OUTGOING, BOTH}:
            raise self._refusal(f"direction is {self.direction}")

    @property
    def migrations(self) -> int | None:
        """How many servers may be arriving at once; None: any number. Whoever lets one in counts."""
        return self.limits.get("migrations")

    def check_incoming(self, needs: Mapping[str, Any]) -> str:
        """That this server may come from this peer now.

        :returns: id of the project that receives it.
        :raises sv2m.errors.AgreementError: naming the field that says no.
        """
        self._check_usable()
        if self.direction not in {INCOMING, BOTH}:
            raise self._refusal(f"direction is {self.direction}")
        if not self.project_id:
            raise self._refusal("project is not set")
        asked = {"memory_mb": needs["memory_mb"], "vcpus": needs["vcpus"], "disk_gb": disk_gb(needs)}
        for name, amount in asked.items():
            limit = self.limits.get(name)
            if limit is not None and amount > limit:
                raise self._refusal(f"{name} limit {limit}, asked {amount}")
        return self.project_id

    def _check_usable(self) -> None:
        if not self.enabled:
            raise self._refusal("enabled is false")
        if not self.ca_pem.strip():
            raise self._refusal("ca is not set")

    def _refusal(self, why: str) -> errors.AgreementError:
        return errors.AgreementError(f"agreement {self.peer}: {why}")


def disk_gb(needs: Mapping[str, Any]) -> int:
    """GiB of disk that a server takes here: its volumes, and what its flavor gives it."""
    volumes = sum(volume_gb(disk) for disk in needs["disks"])
    local_root = 0 if any(disk["boot"] and disk["volume_gb"] for disk in needs["disks"]) else needs["root_gb"]
    return int(volumes + local_root + needs["ephemeral_gb"] - (-needs["swap_mb"] // 1024))
