# SPDX-License-Identifier: Apache-2.0
"""The job at B: take what comes, verified, restore the guest, hold it paused until A has released it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_log import log

from sv2m.agent.arrival import Arrival
from sv2m.agent.hypervisor import Hypervisor, Landing
from sv2m.agent.job import ABORTED, Job
from sv2m.agent.journal import Journal
from sv2m.edm import ports
from sv2m.edm.ports import KeyReader, Total
from sv2m.edm.spec import DestinationSpec
from sv2m.errors import Conflict, HostError, HypervisorError, IntegrityError, PeerError, SV2MError
from sv2m.protocol.manifest import Manifest
from sv2m.protocol.segments import Opener, ticket
from sv2m.transfer.receiver import Receiver
from sv2m.transfer.session import Session, StreamLimits

LOG = log.getLogger(__name__)

#: States in which B has promised, by its signed Prepared, to keep the guest.
KEPT = (ports.RESTORED, ports.RUNNING)


class DestinationJob(Job):
    """One VM on its way in."""

    role = "destination"

    def __init__(
        self,
        migration_id: str,
        server_id: str,
        state: str,
        journal: Journal,
        *,
        landing: Landing,
        receiver: Receiver,
    ) -> None:
        super().__init__(migration_id, server_id, state, journal)
        self._landing = landing
        self._receiver = receiver
        self._arrival: Arrival | None = None
        self._vmk = bytearray()
        self._steps = threading.Lock()
        self._watcher: threading.Thread | None = None

    @classmethod
    def take(
        cls,
        migration_id: str,
        spec: DestinationSpec,
        hypervisor: Hypervisor,
        journal: Journal,
        receiver: Receiver,
    ) -> DestinationJob:
        """A new job; :meth:`start` lets it work."""
        landing = hypervisor.landing(spec.server_id, journal.workdir(migration_id))
        job = cls(migration_id, spec.server_id, ports.WAITING, journal, landing=landing, receiver=receiver)
        job._write(ports.WAITING)
        return job

    @classmethod
    def adopt(
        cls,
        migration_id: str,
        entry: Mapping[str, Any],
        hypervisor: Hypervisor,
        journal: Journal,
        receiver: Receiver,
    ) -> DestinationJob:
        """A job of an earlier agent process; one that B promised to keep goes on, another is undone."""
        server_id = str(entry["server_id"])
        landing = hypervisor.landing(server_id, journal.workdir(migration_id))
        return cls(migration_id, server_id, str(entry["state"]), journal, landing=landing, receiver=receiver)

    def start(self, spec: DestinationSpec, keys: KeyReader) -> None:
        """Open the placeholder, and let A's connections in.

        :raises SV2MError: why not; all is undone then.
        """
        try:
            self._open(spec, keys)
        except SV2MError as error:
            self._end_in_failure(error)
            raise
        except Exception:
            failure = self._unexpected("while opening the placeholder")
            self._end_in_failure(failure)
            raise failure from None
        self._watcher = threading.Thread(
            target=self._watch, args=(spec.lifetime,), name=f"destination-{self.migration_id}", daemon=True
        )
        self._watcher.start()

    def complete(self, manifest: bytes, totals: Sequence[Total]) -> None:
        """Compare with what A signed, finish the restore. :raises SV2MError: why not; all is undone then."""
        with self._steps:
            if self.state in KEPT:
                return
            if self._error is not None:
                raise self._error
            # Whoever gives the job up meanwhile lets go of it.
            arrival = self._arrival
            if arrival is None:
                raise Conflict("nothing has come yet")
            try:
                # No more can come; a segment that is being stored is stored first.
                self._receiver.forget(self.migration_id)
                self._compare(arrival, Manifest.from_xml(manifest), totals)
                self._become(ports.RECEIVED)
                self._landing.finish_restore()
                self._keep()
            except SV2MError as error:
                self._doom(error)
                raise
            except Exception:
                failure = self._unexpected("while finishing the restore")
                self._doom(failure)
                raise failure from None

    def check_restored(self, server_id: str) -> None:
        """:raises HypervisorError: the restored guest is gone for good."""
        self._check_server(server_id)
        if self.state not in KEPT:
            raise HypervisorError("there is no restored guest: it was undone", code="restored-guest-gone")
        self._landing.check_restored()

    def resume(self, server_id: str) -> None:
        """Let the guest run. :raises Conflict: there is no restored guest. :raises HypervisorError: it is gone."""
        self._check_server(server_id)
        with self._steps:
            if self.state not in KEPT:
                raise Conflict(f"the guest of migration {self.migration_id} is {self.state}, not restored")
            if self.state != ports.RUNNING:
                self._landing.check_restored()
                # Before it runs: a crash in between must let nobody say of a guest that has run that it never did,
                # for then A would go on from an older state of it. That this one may not have run yet does no harm.
                self._become(ports.RUNNING)
            self._landing.resume()

    def give_up(self, error: SV2MError) -> None:
        """See Job. :raises Conflict: the guest runs here."""
        if self.state not in KEPT:
            # Whoever finishes the restore right now holds the steps, and must come to an end.
            self._doom(error)
            self._landing.cancel()
        with self._steps:
            if self.state == ports.RUNNING:
                raise Conflict("the guest runs here already; it cannot be undone any more")
            first = self._doom(error)
            if self._watcher is not None:
                self._watcher.join()
            elif self.state != ports.FAILED:
                self._end_in_failure(first)

    def forget(self) -> None:
        """See Job."""
        if self.state not in (ports.RUNNING, ports.FAILED):
            raise Conflict(f"the guest of migration {self.migration_id} is {self.state}; abort it first")
        if self.state == ports.FAILED:
            self.abort()
        self._doom(HostError("forgotten", code=ABORTED))
        self._journal.remove(self.migration_id)

    def _open(self, spec: DestinationSpec, keys: KeyReader) -> None:
        self._landing.check(spec.needs)
        eiks: dict[int, bytearray] = {}
        try:
            for index, ref in spec.eik_refs.items():
                eiks[index] = keys.read(ref)
            disks = self._landing.open_disks(eiks)
        finally:
            for eik in eiks.values():
                eik[:] = bytes(len(eik))
        self._vmk = keys.read(spec.vmk_ref)
        self._arrival = arrival = Arrival(spec.streams, disks, self._landing, self._moved, self._failed)
        self._progress(more=sum(stream.size for stream in spec.streams))
        session = Session(
            self.migration_id,
            Opener(self._vmk),
            lambda connection: ticket(bytes(self._vmk), spec.sid, self.migration_id, connection),
            {stream.id: StreamLimits(stream.segment_size, stream.segments) for stream in spec.streams},
            arrival,
        )
        self._receiver.expect(session)

    def _moved(self, came: int, stored: int) -> None:
        if self.state == ports.WAITING:
            self._become(ports.RECEIVING)
        self._progress(done=stored, sent=came)

    @staticmethod
    def _compare(arrival: Arrival, signed: Manifest, totals: Sequence[Total]) -> None:
        signed.compare(arrival.manifest)
        arrival.finish()
        if {total.id: total.length for total in totals} != arrival.lengths:
            raise IntegrityError("the streams do not have the lengths that the source signed")

    def _keep(self) -> None:
        """From here on the guest survives a restart of the agent."""
        with self._condition:
            self._bytes_total = self._bytes_done
        self._become(ports.RESTORED)
        self._vmk[:] = bytes(len(self._vmk))
        # A may be long in coming back.
        self._shed()

    def _check_server(self, server_id: str) -> None:
        if server_id != self.server_id:
            raise Conflict(f"migration {self.migration_id} lands in server {self.server_id}, not {server_id}")

    def _failed(self, error: SV2MError) -> None:
        """Told by the storing thread, which cannot undo what it stands in: the watching thread does."""
        self._doom(error)

    def _watch(self, lifetime: float) -> None:
        """Undoes the job when something failed, or when A did not come to an end in time."""
        with self._condition:
            self._condition.wait_for(lambda: self._error is not None or self._state in KEPT, lifetime or None)
            if self._state not in KEPT and self._error is None:
                self._error = PeerError("the source did not finish in time", code="expired")
            self._condition.wait_for(lambda: self._error is not None)
            error = self._error
            if self._state == ports.RUNNING or error is None:
                return
        self._end_in_failure(error)

    def _entry(self) -> dict[str, Any]:
        return {}

    def _undo(self) -> None:
        # First what a storing thread may wait for, then the thread, then everything else.
        self._landing.cancel()
        self._receiver.forget(self.migration_id)
        self._landing.undo()
        self._vmk[:] = bytes(len(self._vmk))

    def _shed(self) -> None:
        self._arrival = None
