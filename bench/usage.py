# SPDX-License-Identifier: Apache-2.0
"""What a process has used so far."""

from __future__ import annotations

import resource
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """CPU seconds, user and system, of all threads; peak resident set in bytes."""

    cpu: float
    rss: int

    def since(self, before: Usage) -> Usage:
        """CPU since then; the peak stays the peak."""
        return Usage(self.cpu - before.cpu, self.rss)


def usage(who: int = resource.RUSAGE_SELF) -> Usage:
    """Of this process, or of its ended children (``resource.RUSAGE_CHILDREN``)."""
    used = resource.getrusage(who)
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss << 10)
