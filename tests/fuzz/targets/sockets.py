# SPDX-License-Identifier: Apache-2.0
"""A socket from which given bytes come, and which then is closed."""

from __future__ import annotations

from typing import Any


class FakeSocket:
    """As much of a socket as the data channel uses."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self.sent = bytearray()
        self._shut = False

    def recv_into(self, view: memoryview | bytearray) -> int:
        if self._shut:
            return 0
        target = memoryview(view)
        piece = self._content[: len(target)]
        target[: len(piece)] = piece
        self._content = self._content[len(piece) :]
        return len(piece)

    def sendall(self, data: bytes, flags: int = 0) -> None:
        if self._shut:
            raise BrokenPipeError("closed")
        self.sent += data

    def shutdown(self, how: int) -> None:
        # Writing may be over while reading goes on.
        self._shut = self._shut or how != 1

    def settimeout(self, seconds: float | None) -> None:
        """Nothing is waited for."""

    def setsockopt(self, *arguments: Any) -> None:
        """Nothing to set."""

    def close(self) -> None:
        self._shut = True
