# SPDX-License-Identifier: Apache-2.0
"""Which of some hundred patterns are in some hundred megabytes: in one pass over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

_PART = 8 << 20
_PREFIX = 4


class Patterns:
    """Some patterns, each of at least four bytes."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        self._by_prefix: dict[bytes, list[bytes]] = defaultdict(list)
        # Whether anything begins with these two bytes, and whether anything goes on with those.
        self._first, self._second = np.zeros(1 << 16, bool), np.zeros(1 << 16, bool)
        for pattern in patterns:
            self._by_prefix[pattern[:_PREFIX]].append(pattern)
            self._first[int.from_bytes(pattern[0:2], "big")] = True
            self._second[int.from_bytes(pattern[2:4], "big")] = True

    def within(self, content: bytes) -> set[bytes]:
        """Those that are there."""
        found: set[bytes] = set()
        for start in range(0, len(content), _PART):
            part = np.frombuffer(content, np.uint8, count=min(_PART + _PREFIX, len(content) - start), offset=start)
            if len(part) < _PREFIX:
                continue
            pairs = part[:-1].astype(np.uint16) << 8 | part[1:]
            for place in np.flatnonzero(self._first[pairs[:-2]] & self._second[pairs[2:]]):
                position = start + int(place)
                for pattern in self._by_prefix.get(content[position : position + _PREFIX], ()):
                    if content.startswith(pattern, position):
                        found.add(pattern)
        return found
