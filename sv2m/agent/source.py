# SPDX-License-Identifier: Apache-2.0
"""The job at A: disks in rounds while the guest runs, the last round and the memory when it has stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from oslo_log import log

from sv2m.agent.hypervisor import Extent, Hypervisor, Source, SourceDisk
from sv2m.agent.job import Job
from sv2m.agent.journal import Journal
from sv2m.agent.pace import Bounds, Left, Pace
from sv2m.agent.streams import RecordWriter, StreamWriter
from sv2m.edm import ports
from sv2m.edm.ports import KeyReader, Total
from sv2m.edm.spec import SourceSpec, StreamSpec
from sv2m.errors import Conflict, HypervisorError, LocalError, ServerNotMovable, SV2MError
from sv2m.protocol.plan import DISK, MEMORY, check_travels
from sv2m.protocol.segments import OVERHEAD, Manifest, Sealer, ticket
from sv2m.transfer.sender import Sender, SenderOptions

LOG = log.getLogger(__name__)

#: Bytes read from a disk at once.
_CHUNK = 1 << 20


@dataclass(frozen=True)
class SourceOptions:
    """How a source behaves.

    :param threshold: bytes; with no more of the disks changed, the guest may be stopped.
    :param rounds: rounds over changed blocks at most.
    :param window_bytes, rate_limit, retry_seconds, stall_timeout, progress_timeout: see SenderOptions.
    """

    threshold: int = 16 << 20
    rounds: int = 12
    window_bytes: int = 32 << 20
    rate_limit: int = 0
    retry_seconds: float = 120.0
    stall_timeout: float = 60.0
    progress_timeout: float = 900.0


def _nothing_to_look_at() -> bool:
    """What a job that is not ready, or not any more, finds when it looks at the guest: nothing that speaks against."""
    return True


class SourceJob(Job):
    """One VM on its way out."""

    role = "source"

    def __init__(
        self,
        migration_id: str,
        server_id: str,
        state: str,
        journal: Journal,
        source: Callable[[Callable[[], None]], Source],
    ) -> None:
        super().__init__(migration_id, server_id, state, journal)
        #: The engine has stopped the guest, or wants another round; or there is nothing to wait for any more.
        self._stop_now = threading.Event()
        #: With what the guest might be stopped, and whether it still may.
        self._left = Left(0, 0)
        self._look: Callable[[], bool] = _nothing_to_look_at
        self._looking = threading.Lock()
        self._ran = threading.Event()
        self._source = source(self._resumed)
        #: Two who give it up at once: the second finds the work of the first done.
        self._ending = threading.Lock()
        self._sender: Sender | None = None
        self._thread: threading.Thread | None = None
        self._manifest = b""
        self._totals: tuple[Total, ...] = ()

    @classmethod
    def take(cls, migration_id: str, spec: SourceSpec, hypervisor: Hypervisor, journal: Journal) -> SourceJob:
        """A new job; :meth:`start` lets it work."""
        opener = _opener(migration_id, spec.server_id, hypervisor, journal)
        job = cls(migration_id, spec.server_id, ports.CONNECTING, journal, opener)
        job._write(ports.CONNECTING)
        return job

    @classmethod
    def adopt(cls, migration_id: str, entry: dict[str, Any], hypervisor: Hypervisor, journal: Journal) -> SourceJob:
        """A job of an earlier agent process.

        Only a sealed one can go on: the VMK's sealer of another is lost.
        """
        server_id = str(entry["server_id"])
        opener = _opener(migration_id, server_id, hypervisor, journal)
        job = cls(migration_id, server_id, str(entry["state"]), journal, opener)
        job._manifest = str(entry.get("manifest", "")).encode("ascii")
        job._totals = tuple(Total(**total) for total in entry.get("totals", ()))
        return job

    def start(self, spec: SourceSpec, keys: KeyReader, options: SourceOptions) -> None:
        """Begin; returns at once."""
        self._thread = threading.Thread(
            target=self._run, args=(spec, keys, options), name=f"source-{self.migration_id}", daemon=True
        )
        self._thread.start()

    def may_stop(self) -> bool:
        """Whether the guest may still be stopped: what it wrote since this job was ready is looked at.

        :returns: False for a job that is not that far, or has begun another round because of this.
        :raises SV2MError: it has failed, and this is why; or the guest is not what it was.
        """
        self._raise_why_failed()
        if self.state != ports.READY:
            return self.state in (ports.FINISHING, ports.SEALED)
        # One look at a time: of two calls that overlap, an engine's second try and its first, the later one sees what
        # came of the other.
        with self._looking:
            if self.state != ports.READY:
                return self.state in (ports.FINISHING, ports.SEALED)
            if self._look():
                return True
            self._become(ports.PRECOPY)
            self._stop_now.set()
            return False

    def stop_and_finish(self) -> None:
        """The guest has stopped: send what is left.

        :raises Conflict: the job is not that far.
        :raises SV2MError: it has failed, and this is why.
        """
        self._raise_why_failed()
        if self.state in (ports.CONNECTING, ports.PRECOPY, ports.FAILED):
            raise Conflict(f"the source of migration {self.migration_id} is {self.state}, not ready")
        self._stop_now.set()

    def manifest(self) -> tuple[bytes, Sequence[Total]]:
        """:raises Conflict: the job is not sealed. :raises SV2MError: it has failed, and this is why."""
        self._raise_why_failed()
        with self._condition:
            if self._state != ports.SEALED:
                raise Conflict(f"the source of migration {self.migration_id} is {self._state}, not sealed")
            return self._manifest, self._totals

    def check_unchanged(self) -> None:
        """:raises Conflict: what was sealed is no longer the newest state of the guest."""
        self.manifest()
        if self._ran.is_set():
            raise self._spoilt()
        self._source.check_unchanged()

    def give_up(self, error: SV2MError) -> None:
        """See Job."""
        first = self._doom(error)
        self._source.cancel()
        with self._condition:
            sender = self._sender
        if sender is not None:
            sender.close(first)
        self._stop_now.set()
        if self._thread is not None:
            self._thread.join()
        with self._ending:
            if self.state != ports.FAILED:
                self._end_in_failure(first)

    def forget(self) -> None:
        """See Job. The domain is gone by now, or it goes on and keeps nothing of this."""
        if self.state not in (ports.SEALED, ports.FAILED):
            raise Conflict(f"the source of migration {self.migration_id} is {self.state}; abort it first")
        self.abort()

    def _entry(self) -> dict[str, Any]:
        return {
            "manifest": self._manifest.decode("ascii"),
            "totals": [{"id": t.id, "segments": t.segments, "length": t.length} for t in self._totals],
        }

    def _undo(self) -> None:
        self._source.undo()

    def _shed(self) -> None:
        self._manifest, self._totals = b"", ()
        self._look = _nothing_to_look_at

    def _resumed(self) -> None:
        """The guest runs. Called by the hypervisor's thread, which must not wait for what the undoing asks of it."""
        self._ran.set()
        if self.state == ports.SEALED:
            # What is sealed is worth nothing any more, and perhaps nobody tells us so: whoever withdrew could not.
            threading.Thread(target=self.give_up, args=(self._spoilt(),), daemon=True).start()

    def _spoilt(self) -> Conflict:
        return Conflict(f"somebody let server {self.server_id} run after its state was sealed")

    def _run(self, spec: SourceSpec, keys: KeyReader, options: SourceOptions) -> None:
        vmk = bytearray()
        try:
            vmk = keys.read(spec.vmk_ref)
            self._transfer(spec, vmk, options)
        except SV2MError as error:
            reason = self._reason(error)
            self._close_sender(reason)
            self._end_in_failure(reason)
        except Exception:
            failure = self._unexpected("while sending")
            self._close_sender(failure)
            self._end_in_failure(failure)
        finally:
            vmk[:] = bytes(len(vmk))

    def _reason(self, error: SV2MError) -> SV2MError:
        """A guest that ended, or is another than it was, explains why QEMU failed us better than QEMU does."""
        if type(error) is HypervisorError and error.code == HypervisorError.code:
            try:
                self._source.check_layout()
            except SV2MError as found:
                return found
        return error

    def _close_sender(self, error: SV2MError | None = None) -> None:
        if self._sender is not None:
            self._sender.close(error)
            self._sender = None

    def _transfer(self, spec: SourceSpec, vmk: bytearray, options: SourceOptions) -> None:
        largest = max(stream.segment_size for stream in spec.streams)
        limits = [limit for limit in (options.rate_limit, spec.rate_limit) if limit]
        sender = Sender(
            spec.endpoint,
            self.migration_id,
            lambda connection: ticket(bytes(vmk), spec.sid, self.migration_id, connection),
            SenderOptions(
                segment_bytes=largest + OVERHEAD,
                window_bytes=options.window_bytes,
                rate_limit=min(limits, default=0),
                retry_seconds=options.retry_seconds,
                stall_timeout=options.stall_timeout,
                progress_timeout=options.progress_timeout,
                reach=spec.reach,
            ),
            self._stop_now.set,
        )
        with self._condition:
            # Whoever gives the job up from now on finds the sender, and closes it.
            if self._error is not None:
                raise self._error
            self._sender = sender
        sender.start()
        manifest, sealer, plaintext = Manifest(), Sealer(vmk), bytearray(largest)

        def writer(stream: StreamSpec) -> StreamWriter:
            return StreamWriter(stream, sealer, sender.window, manifest, plaintext, self._sent)

        disks, memory = self._open(spec, writer)
        pace = Pace(
            Bounds(spec.downtime, spec.lifetime, options.threshold, options.rounds),
            largest,
            lambda: sender.window.rate,
            lambda: len(manifest),
        )
        self._look = lambda: self._unchanged_enough(pace, disks)
        self._become(ports.PRECOPY)
        first = True
        while self.state == ports.PRECOPY:
            self._precopy(disks, pace, sender, first=first)
            self._become(ports.READY)
            first = False
            # Also woken by a lost destination: then the guest is not stopped for nothing.
            self._stop_now.wait()
            sender.window.check()
            if self.state == ports.PRECOPY:
                self._stop_now.clear()
        self._become(ports.FINISHING)
        # It knows the disks' streams, and with them VMK and what is in the clear: for no longer than it is needed.
        self._look = _nothing_to_look_at
        sender.release_brake()
        self._source.check_stopped()
        self._source.check_layout()
        # A resume before this moment is not ours to judge; one after it spoils what is sealed.
        self._ran.clear()
        for disk, records in disks:
            self._progress(more=disk.changed())
            self._copy(disk, records, last=True)
        self._source.close_disks()
        self._send_memory(memory)
        sender.window.flush()
        self._close_sender()
        self._manifest = manifest.to_xml()
        self._totals = tuple(w.total for w in [*(records.stream for _, records in disks), memory])
        with self._condition:
            self._bytes_total = self._bytes_done
        self._become(ports.SEALED)

    def _sent(self, count: int) -> None:
        self._progress(sent=count)

    def _open(
        self, spec: SourceSpec, writer: Callable[[StreamSpec], StreamWriter]
    ) -> tuple[list[tuple[SourceDisk, RecordWriter]], StreamWriter]:
        planned = {stream.index: stream for stream in spec.streams if stream.kind == DISK}
        memory = next(stream for stream in spec.streams if stream.kind == MEMORY)
        found = self._source.open_disks()
        if {disk.index: disk.size for disk in found} != {index: plan.size for index, plan in planned.items()}:
            raise LocalError(f"the disks of server {self.server_id} are not those of the plan", code="not-planned")
        _check_travels(found, memory.segment_size)
        self._progress(more=memory.size + sum(disk.size for disk in found))
        return [(disk, RecordWriter(writer(planned[disk.index]))) for disk in found], writer(memory)

    def _precopy(
        self, disks: list[tuple[SourceDisk, RecordWriter]], pace: Pace, sender: Sender, *, first: bool
    ) -> None:
        """Rounds until the guest may be stopped, and everything that was sent is stored.

        :raises ServerNotMovable: it may never be.
        """
        pace.begin()
        another = True
        while another:
            for disk, records in disks:
                if not first:
                    self._progress(more=disk.changed())
                self._copy(disk, records, last=False)
            first = False
            # Sent is not stored: what the destination has yet to write, the guest would wait for.
            sender.window.flush()
            self._left = self._what_is_left(disks)
            another = pace.another_round(self._left, all(records.left >= 2 * disk.size for disk, records in disks))

    def _what_is_left(self, disks: list[tuple[SourceDisk, RecordWriter]]) -> Left:
        self._source.check_layout()
        return Left(sum(disk.changed() for disk, _ in disks), self._source.memory_bytes())

    def _unchanged_enough(self, pace: Pace, disks: list[tuple[SourceDisk, RecordWriter]]) -> bool:
        return pace.still_fits(self._what_is_left(disks), self._left)

    def _copy(self, disk: SourceDisk, records: RecordWriter, last: bool) -> None:
        extents = disk.round(last)

        def data() -> Iterator[Extent]:
            for extent in extents:
                if extent.data:
                    yield extent
                else:
                    records.zero(extent.offset, extent.length)
                    self._progress(done=extent.length)

        for offset, content in disk.read(data(), _CHUNK):
            records.data(offset, content)
            self._progress(done=len(content))
        # The buffer is free for the next disk.
        records.stream.flush()

    def _send_memory(self, writer: StreamWriter) -> None:
        memory = self._source.memory()
        while count := memory.read_into(writer.room()):
            writer.advance(count)
            self._progress(done=count)
        memory.finish()
        # Only a stream that QEMU calls complete gets its last segment.
        writer.flush()


def _check_travels(disks: Sequence[SourceDisk], segment_size: int) -> None:
    """Before the first byte of a large disk: that what is on it can be sent. :raises ServerNotMovable: it cannot."""
    try:
        check_travels([disk.size for disk in disks], segment_size)
    except ServerNotMovable:
        check_travels([disk.data_bytes() for disk in disks], segment_size)


def _opener(
    migration_id: str, server_id: str, hypervisor: Hypervisor, journal: Journal
) -> Callable[[Callable[[], None]], Source]:
    workdir = journal.workdir(migration_id)
    return lambda resumed: hypervisor.source(server_id, tag(migration_id), workdir, resumed)


def tag(migration_id: str) -> str:
    """The mark of everything that a migration puts into a hypervisor."""
    return f"sv2m-{migration_id}"
