# SPDX-License-Identifier: Apache-2.0
"""Keys in memory: for as short a time as possible.

Python cannot promise that no copy remains; what can be overwritten is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def wipe(*buffers: bytearray) -> None:
    """Overwrite buffers with zeros, in place."""
    for buffer in buffers:
        buffer[:] = bytes(len(buffer))


@contextmanager
def wiped(buffer: bytearray) -> Iterator[bytearray]:
    """The buffer, overwritten when the block ends, however it ends."""
    try:
        yield buffer
    finally:
        wipe(buffer)
