# SPDX-License-Identifier: Apache-2.0
"""All jobs of this host, by migration id. Implements :class:`sv2m.edm.ports.Transfers`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from sv2m.agent.destination import DestinationJob
from sv2m.agent.hypervisor import Hypervisor
from sv2m.agent.job import Job
from sv2m.agent.journal import Journal
from sv2m.agent.source import SourceJob, SourceOptions
from sv2m.edm.ports import UNKNOWN, Described, KeyReader, Status, Total
from sv2m.edm.spec import DestinationSpec, SourceSpec
from sv2m.errors import AgentLost, Conflict
from sv2m.transfer.receiver import Receiver

#: Jobs that have failed, and owe nothing any more, of which is known why.
_ENDED = 200


class Jobs:
    """The agent's jobs.

    :param advertised: host under which peers reach the receiver.
    """

    def __init__(
        self,
        *,
        hypervisor: Hypervisor,
        keys: KeyReader,
        journal: Journal,
        receiver: Receiver,
        advertised: str,
        options: SourceOptions,
    ) -> None:
        self._hypervisor = hypervisor
        self._keys = keys
        self._journal = journal
        self._receiver = receiver
        self._advertised = advertised
        self._options = options
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        #: One opening at a time: a repeated start must find the job of the first.
        self._starting = threading.Lock()

    def describe(self, server_id: str) -> Described:
        """See Transfers. Disks come first among the streams, as they do on the wire."""
        found = self._hypervisor.describe(server_id)
        disks = [{"kind": "disk", "index": disk["index"], "size": disk["size"]} for disk in found.needs["disks"]]
        memory = {"kind": "memory", "index": 0, "size": found.memory_bytes}
        return Described(
            found.needs, found.power, (*disks, memory), found.resident_bytes, self._options.rate_limit
        )

    def endpoint(self) -> tuple[str, int]:
        """See Transfers."""
        return self._advertised, self._receiver.port

    def reader(self) -> str:
        """See Transfers."""
        return self._keys.user_id()

    def start_source(self, migration_id: str, spec: SourceSpec) -> None:
        """See Transfers."""
        with self._starting:
            if self._known(migration_id, SourceJob):
                return
            self._settle(spec.server_id)
            job = SourceJob.take(migration_id, spec, self._hypervisor, self._journal)
            self.add(job)
            job.start(spec, self._keys, self._options)

    def may_stop(self, migration_id: str) -> bool:
        """See Transfers."""
        return self._source(migration_id).may_stop()

    def stop_and_finish(self, migration_id: str) -> None:
        """See Transfers."""
        self._source(migration_id).stop_and_finish()

    def manifest(self, migration_id: str) -> tuple[bytes, Sequence[Total]]:
        """See Transfers."""
        return self._source(migration_id).manifest()

    def check_unchanged(self, migration_id: str) -> None:
        """See Transfers."""
        self._source(migration_id).check_unchanged()

    def start_destination(self, migration_id: str, spec: DestinationSpec) -> tuple[str, int]:
        """See Transfers."""
        with self._starting:
            if not self._known(migration_id, DestinationJob):
                job = DestinationJob.take(migration_id, spec, self._hypervisor, self._journal, self._receiver)
                self.add(job)
                job.start(spec, self._keys)
        return self.endpoint()

    def complete(self, migration_id: str, manifest: bytes, totals: Sequence[Total]) -> None:
        """See Transfers."""
        self._destination(migration_id).complete(manifest, totals)

    def check_restored(self, migration_id: str, server_id: str) -> None:
        """See Transfers."""
        self._destination(migration_id).check_restored(server_id)

    def resume(self, migration_id: str, server_id: str) -> None:
        """See Transfers."""
        self._destination(migration_id).resume(server_id)

    def status(self, migration_id: str) -> Status:
        """See Transfers."""
        job = self._get(migration_id)
        return job.status() if job is not None else Status(UNKNOWN)

    def wait(self, migration_id: str, sequence: int, timeout: float) -> Status:
        """See Transfers."""
        job = self._get(migration_id)
        return job.wait(sequence, timeout) if job is not None else Status(UNKNOWN)

    def abort(self, migration_id: str) -> None:
        """See Transfers. A migration that is not known has nothing here."""
        job = self._get(migration_id)
        if job is not None:
            job.abort()

    def power(self, server_id: str) -> str:
        """See Transfers."""
        return self._hypervisor.power(server_id)

    def check_removed(self, server_id: str) -> None:
        """See Transfers."""
        if self._hypervisor.has(server_id):
            raise Conflict(
                f"server {server_id} is deleted in Nova and still on this host: nova-compute was away then",
                code="still-on-host",
                remedy="Nothing: nova-compute destroys it at its next look (running_deleted_instance_poll_interval).",
            )

    def forget(self, migration_id: str) -> None:
        """See Transfers."""
        job = self._get(migration_id)
        if job is not None:
            job.forget()
            with self._lock:
                self._jobs.pop(migration_id, None)

    def add(self, job: Job) -> None:
        """Take up a job, new or of an earlier agent process.

        Of those that failed and were undone nobody says that they may be forgotten. Some are remembered: why
        they failed is asked for afterwards, and a start that comes twice must not begin one anew.
        """
        with self._lock:
            self._jobs[job.migration_id] = job
            ended = [one.migration_id for one in self._jobs.values() if one.ended]
            for migration_id in ended[:-_ENDED]:
                del self._jobs[migration_id]

    def all(self) -> list[Job]:
        """Every job."""
        with self._lock:
            return list(self._jobs.values())

    def _settle(self, server_id: str) -> None:
        """Undo what earlier migrations still owe this server.

        Later it would cancel what the new one has begun in QEMU. :raises SV2MError: it cannot be undone yet.
        """
        for job in self.all():
            if job.server_id == server_id and job.owes:
                job.abort()

    def _get(self, migration_id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(migration_id)

    def _known(self, migration_id: str, kind: type[Job]) -> bool:
        job = self._get(migration_id)
        if job is not None and not isinstance(job, kind):
            raise Conflict(f"migration {migration_id} is here as {job.role}")
        return job is not None

    def _source(self, migration_id: str) -> SourceJob:
        job = self._get(migration_id)
        if not isinstance(job, SourceJob):
            raise AgentLost(f"this agent is not the source of migration {migration_id}")
        return job

    def _destination(self, migration_id: str) -> DestinationJob:
        job = self._get(migration_id)
        if not isinstance(job, DestinationJob):
            raise AgentLost(f"this agent is not the destination of migration {migration_id}")
        return job
