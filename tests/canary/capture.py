# SPDX-License-Identifier: Apache-2.0
"""Listens to a network interface and keeps what TCP connections say, each way in a file of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import BinaryIO

from tests.canary.search import Place

_ALL = 0x0003
_IPV4 = b"\x08\x00"
_TCP = 6
_OUTGOING = 4
#: What is read of a capture at a time, and by how much two such parts overlap: more than any form of a key.
_PART, _OVERLAP = 32 << 20, 8 << 10


class Capture:
    """Between ``with`` and its end everything on ``device`` is kept.

    :param network: the network that the device is in.
    :param ports: of TCP, either side's; none for all.
    """

    def __init__(
        self, device: str, directory: Path, network: AbstractContextManager[None], ports: tuple[int, ...] = ()
    ) -> None:
        self._device = device
        self._directory = directory
        self._ports = ports
        with network:
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
            # Beyond what an ordinary user may have: the reader may not get its turn for a while.
            self._sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), 64 << 20)
            self._sock.bind((device, 0))
        self._sock.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"capture-{device}")

    def __enter__(self) -> Capture:
        self._directory.mkdir(parents=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sock.close()

    def places(self) -> Iterator[Place]:
        """What was said, in parts that overlap."""
        for path in sorted(self._directory.iterdir()):
            with path.open("rb") as stream:
                before = b""
                while part := stream.read(_PART):
                    yield f"{self._device}:{path.name}", before + part
                    before = part[-_OVERLAP:]

    def _listen(self) -> None:
        buffer = bytearray(1 << 18)
        with ExitStack() as files:
            streams: dict[tuple[int, int], BinaryIO] = {}
            while not self._over.is_set():
                try:
                    size, address = self._sock.recvfrom_into(buffer)
                except TimeoutError:
                    continue
                # The loopback shows everything twice: as it goes out, and as it comes in.
                if address[2] == _OUTGOING and self._device == "lo":
                    continue
                found = _tcp(memoryview(buffer)[:size])
                if found is None or (self._ports and not set(self._ports) & set(found[0])):
                    continue
                ways, payload = found
                if ways not in streams:
                    path = self._directory / f"{ways[0]}-{ways[1]}"
                    streams[ways] = files.enter_context(path.open("ab"))
                streams[ways].write(payload)


def _tcp(frame: memoryview) -> tuple[tuple[int, int], memoryview] | None:
    """Ports and payload of an Ethernet frame with TCP over IPv4; None for others, and for those that say nothing."""
    if len(frame) < 54 or frame[12:14] != _IPV4 or frame[23] != _TCP:
        return None
    packet = frame[14:]
    segment = packet[(packet[0] & 0x0F) * 4 : int.from_bytes(packet[2:4], "big") or len(packet)]
    payload = segment[(segment[12] >> 4) * 4 :]
    if not payload:
        return None
    return (int.from_bytes(segment[0:2], "big"), int.from_bytes(segment[2:4], "big")), payload
