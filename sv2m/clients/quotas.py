# SPDX-License-Identifier: Apache-2.0
"""Whether a project's quotas leave what an arriving server takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sv2m import errors


@dataclass(frozen=True)
class Quota:
    """One quota of a project.

    :param name: the service's and its own, for messages: "Nova's quota of vCPUs".
    :param limit: the most there may be; negative: as many as wanted.
    :param used: what there is.
    :param wanted: what is to come.
    """

    name: str
    limit: int
    used: int
    wanted: int

    @property
    def missing(self) -> int:
        """By how much it is too small; 0 where it is not."""
        return max(0, self.used + self.wanted - self.limit) if self.limit >= 0 else 0


def check(quotas: Iterable[Quota]) -> None:
    """:raises sv2m.errors.NoRoom: one is too small; all that are, with what is missing."""
    short = [one for one in quotas if one.missing]
    if short:
        said = ", ".join(f"{one.name} ({one.wanted} wanted, {one.missing} missing)" for one in short)
        raise errors.NoRoom(
            f"the receiving project's quotas are too small: {said}",
            remedy="Ask the receiving cloud's operators for a larger quota, or for another project in the agreement.",
        )
