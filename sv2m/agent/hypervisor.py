# SPDX-License-Identifier: Apache-2.0
"""What the agent asks of a hypervisor. :mod:`sv2m.agent.libvirt` is the one implementation.

Blocking calls return early with HypervisorError when :meth:`Source.cancel` or :meth:`Landing.cancel` was
called from another thread; after that only ``undo`` may be called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Extent:
    """A run of bytes of a disk. ``data`` is False where the guest reads nothing but zeros."""

    offset: int
    length: int
    data: bool


@dataclass(frozen=True)
class Description:
    """A server on this host.

    :param needs: the part of the VM descriptor that the hypervisor knows (a plain dict);
        each disk has its ``serial`` beside it, which is the volume id for a disk of Cinder.
    :param power: ``running`` or ``paused``.
    :param memory_bytes: guest RAM, in bytes: about what a memory stream can have at most.
    :param resident_bytes: how much of it the guest has touched, about: what a memory stream has.
    """

    needs: dict[str, Any]
    power: str
    memory_bytes: int
    resident_bytes: int


class SourceDisk(Protocol):
    """One disk of a domain at the source, read as the guest sees it."""

    index: int
    size: int

    def data_bytes(self) -> int:
        """Bytes that do not read as zeros. Before the first round; takes a look at the whole disk's allocation."""

    def round(self, last: bool) -> Iterator[Extent]:
        """Begin the next round: first everything, then what changed since the round before began.

        The iterator is consumed before the next round. ``last`` says that the guest has stopped.
        """

    def read(self, extents: Iterator[Extent], chunk: int) -> Iterator[tuple[int, memoryview]]:
        """The content of ``extents`` as (offset, bytes), at most ``chunk`` bytes each, in their order.

        Each view is valid until the next step only.
        """

    def changed(self) -> int:
        """Bytes that changed since the newest round began."""


class MemoryStream(Protocol):
    """The state of a stopped domain as it leaves the hypervisor."""

    def read_into(self, buffer: memoryview) -> int:
        """Fill as much of ``buffer`` as there is; 0 at the end of the stream."""

    def finish(self) -> None:
        """Check that the hypervisor says the stream is complete. :raises HypervisorError: it is not."""


class Source(Protocol):
    """A domain that is being taken out."""

    def open_disks(self) -> Sequence[SourceDisk]:
        """Begin to record changes, and open every disk for reading."""

    def check_layout(self) -> None:
        """:raises Conflict: a disk is another, has another size or is worked on, or the hardware is not what it was.

        As compared with when :meth:`open_disks` was called; the error's code says which of it.
        """

    def close_disks(self) -> None:
        """After the last round.

        Nothing is read any more. Changes are still recorded, for :meth:`check_unchanged`.
        """

    def check_stopped(self) -> None:
        """:raises HypervisorError: the guest is not paused."""

    def memory_bytes(self) -> int:
        """About how many bytes :meth:`memory` would give now."""

    def memory(self) -> MemoryStream:
        """Begin to take the state out of the stopped domain."""

    def check_unchanged(self) -> None:
        """:raises Conflict: the guest has run, or a disk was written, since its state was taken; or as check_layout."""

    def cancel(self) -> None:
        """Make a blocking call of another thread return. Safe at any time."""

    def undo(self) -> None:
        """Remove everything that was put into the hypervisor; the guest stays paused or running, as it is.

        Safe at any time and more than once. :raises HypervisorError: something could not be removed.
        """


class LandingDisk(Protocol):
    """One disk of the placeholder, written as the guest will see it."""

    index: int
    size: int

    def write(self, offset: int, data: memoryview) -> None:
        """Write bytes."""

    def zero(self, offset: int, length: int) -> None:
        """Make a run of bytes read as zeros."""

    def flush(self) -> None:
        """Bring what was written to stable storage."""


class Landing(Protocol):
    """A placeholder that is being filled."""

    def check(self, needs: Mapping[str, Any]) -> None:
        """:raises Conflict: the placeholder differs from what the guest needs; the message says in what."""

    def open_disks(self, keys: Mapping[int, bytearray]) -> Sequence[LandingDisk]:
        """Give up the placeholder's own state, and open every disk of it for writing.

        :param keys: disk index -> EIK, for exactly the encrypted disks.
        """

    def close_disks(self) -> None:
        """Flush every disk to stable storage and close it.

        :raises HypervisorError: a disk could not be flushed.
        """

    def start_restore(self) -> None:
        """Let the hypervisor wait for the memory stream."""

    def write_memory(self, data: memoryview) -> None:
        """The next bytes of the memory stream."""

    def finish_restore(self) -> None:
        """The stream is complete and verified: the domain is restored and paused when this returns."""

    def check_restored(self) -> None:
        """:raises HypervisorError: the restored guest is gone for good; no other failure has this class."""

    def resume(self) -> None:
        """Let the restored guest run; nothing to do if it does.

        :raises Conflict: it is not the restored guest.
        """

    def cancel(self) -> None:
        """Make a blocking call of another thread return. Safe at any time."""

    def undo(self) -> None:
        """Remove everything: domain, streams, processes. Safe at any time and more than once."""


class Hypervisor(Protocol):
    """The hypervisor of this host."""

    def describe(self, server_id: str) -> Description:
        """:raises ServerNotMovable: naming everything that cannot be moved. :raises NotFound: no such server
        here.
        """

    def power(self, server_id: str) -> str:
        """running, paused or off.

        :raises NotFound: no such server here. :raises HypervisorError: the hypervisor does not answer.
        """

    def has(self, server_id: str) -> bool:
        """Whether there is a domain of this server on this host. :raises HypervisorError: it does not answer."""

    def source(self, server_id: str, tag: str, workdir: Path, resumed: Callable[[], None]) -> Source:
        """Take up a domain as source.

        :param tag: short name, unique per migration, that marks everything put into the hypervisor.
        :param workdir: private directory for sockets.
        :param resumed: called, from any thread, when anybody lets the domain run.
        """

    def landing(self, server_id: str, workdir: Path) -> Landing:
        """Take up a placeholder as destination.

        Or again, after the agent's restart, what is left in ``workdir``.
        """
