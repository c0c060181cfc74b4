# SPDX-License-Identifier: Apache-2.0
"""A compute host of B with its real agent: jobs, journal and data endpoint; only the hypervisor is in memory."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sv2m import errors
from sv2m.agent.jobs import Jobs
from sv2m.agent.journal import Journal
from sv2m.agent.source import SourceOptions
from sv2m.edm import server as edm
from sv2m.protocol import Manifest, Sealer, StreamSummary, ticket
from sv2m.protocol.segments import FRAME, OVERHEAD
from sv2m.transfer import wire
from sv2m.transfer.receiver import Receiver, ReceiverOptions
from tests.protocol import clouds
from tests.unit.engine.sender import Sender

#: How a stream of QEMU's begins (QEMU_VM_FILE_MAGIC), and how this QEMU's end.
MAGIC, END = b"QEVM", b"EOF of VM state"
MEMORY, DISK = 1, 2


class Disk:
    """What was written to one disk."""

    index = 0
    size = 1 << 30

    def __init__(self) -> None:
        self.written: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: memoryview) -> None:
        self.written.append((offset, bytes(data)))

    def zero(self, offset: int, length: int) -> None:
        self.written.append((offset, bytes(min(length, 16))))

    def flush(self) -> None:
        """Nothing is cached."""


class Placeholder:
    """A suspended domain, and a QEMU that takes only streams of its own."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.memory = bytearray()
        self.restored = self.running = False
        self.undone = 0

    def check(self, needs: Mapping[str, Any]) -> None:
        """It fits."""

    def open_disks(self, keys: Mapping[int, bytearray]) -> Sequence[Disk]:
        assert {index: bytes(key) for index, key in keys.items()} == {0: clouds.EIK}
        return [self.disk]

    def close_disks(self) -> None:
        """Flushed."""

    def start_restore(self) -> None:
        """Waits."""

    def write_memory(self, data: memoryview) -> None:
        self.memory += data
        if not self.memory.startswith(MAGIC[: len(self.memory)]):
            raise errors.HypervisorError("QEMU: Not a migration stream")

    def finish_restore(self) -> None:
        if not self.memory.endswith(END):
            raise errors.HypervisorError("QEMU: error while loading state: unexpected end of stream")
        self.restored = True

    def check_restored(self) -> None:
        if not self.restored:
            raise errors.HypervisorError("gone", code="restored-guest-gone")

    def resume(self) -> None:
        self.running = True

    def cancel(self) -> None:
        """Nothing blocks here."""

    def undo(self) -> None:
        self.undone += 1
        self.restored = False


class HostB:
    """The agent, as the engine's EDM client sees it; the host's name is not looked at."""

    def __init__(self, directory: Path, keys: Any) -> None:
        self.placeholder = Placeholder()
        self.journal = Journal(directory / "agent")
        self.journal.start()
        self.receiver = Receiver(("127.0.0.1", 0), ReceiverOptions(hello_timeout=5, stall_timeout=2))
        self.receiver.start()
        options: SourceOptions = None  # type: ignore[assignment]  # nothing leaves from here
        self.jobs = Jobs(
            hypervisor=self,  # type: ignore[arg-type]
            keys=keys,
            journal=self.journal,
            receiver=self.receiver,
            advertised="127.0.0.1",
            options=options,
        )
        self._endpoint = edm.Endpoint(self.jobs)

    def landing(self, server_id: str, workdir: Path) -> Placeholder:
        return self.placeholder

    def reader(self, context: Any, host: str) -> str:
        return "agent"

    def __getattr__(self, method: str) -> Any:
        return lambda context, host, *args: getattr(self._endpoint, method)(context, *args)

    def stop(self) -> None:
        self.receiver.stop()


class Line:
    """A's data connection to B, and what A signs about it. Whatever is sent here is sealed rightly, unless said."""

    def __init__(self, source: Sender, connection: int = 1, **wrong: Any) -> None:
        accepted, sid = source.accepted, source.side.machine.sid
        self.sock = socket.create_connection((accepted.endpoint_host, accepted.endpoint_port), 10)
        tickets = ticket(wrong.get("vmk", clouds.VMK), sid, source.id, connection)
        self.sock.sendall(wire.Hello(source.id, connection, wrong.get("ticket", tickets)).encode())
        self.sealer = Sealer(clouds.VMK)
        self.manifest = Manifest()
        self.sent: dict[int, list[int]] = {MEMORY: [], DISK: []}
        self.source = source

    @property
    def welcomed(self) -> bool:
        try:
            wire.read_welcome(self.sock)
        except (OSError, errors.MalformedMessage):
            return False
        return True

    def seal(self, stream: int, index: int, plaintext: bytes, sealer: Sealer | None = None) -> bytes:
        out = bytearray(len(plaintext) + OVERHEAD)
        length, digest = (sealer or self.sealer).seal(stream, index, plaintext, out)
        if sealer is None:
            self.manifest.add(stream, index, digest)
            self.sent[stream].append(len(plaintext))
        return FRAME.pack(stream, index, length) + bytes(out)

    def put(self, stream: int, index: int, plaintext: bytes) -> wire.Mark:
        """Send one segment. :returns: what B says of it."""
        return self.push(self.seal(stream, index, plaintext))

    def push(self, frame: bytes) -> wire.Mark:
        self.sock.sendall(frame)
        return wire.read_mark(self.sock)

    def signs(self) -> None:
        """From now on A signs what this line has sent."""
        self.source.manifest = self.manifest
        self.source.summaries = tuple(
            StreamSummary(stream, len(sizes), sum(sizes)) for stream, sizes in sorted(self.sent.items())
        )
