# SPDX-License-Identifier: Apache-2.0
"""The agent's parts put together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_log import log

from sv2m.agent import cleanup
from sv2m.agent.jobs import Jobs
from sv2m.agent.journal import Journal
from sv2m.agent.libvirt.driver import LibvirtHypervisor
from sv2m.agent.source import SourceOptions
from sv2m.edm import ports
from sv2m.edm.ports import KeyReader
from sv2m.errors import AgentLost, SV2MError
from sv2m.transfer.receiver import Receiver, ReceiverOptions

LOG = log.getLogger(__name__)

#: States in which a job survives the agent that began it.
_LASTING = (ports.SEALED, ports.RESTORED, ports.RUNNING, ports.FAILED)


class Agent:
    """Everything of sv2m-agent but RPC. ``jobs`` is what :class:`sv2m.edm.server.Endpoint` needs.

    :param conf: configuration with the group [agent] and [DEFAULT] host.
    :param keys: where VMK and EIKs are read.
    """

    def __init__(self, conf: cfg.ConfigOpts, keys: KeyReader) -> None:
        group: Any = conf.agent
        self._hypervisor = LibvirtHypervisor(group.libvirt_uri, group.monitor_timeout)
        self._journal = Journal(Path(group.state_path))
        self._receiver = Receiver(
            (group.data_listen_address, group.data_port),
            ReceiverOptions(group.max_connections, group.hello_timeout, group.stall_timeout),
        )
        options = SourceOptions(
            threshold=group.disk_threshold_mib << 20,
            rounds=group.disk_rounds,
            window_bytes=group.window_mib << 20,
            rate_limit=group.rate_limit_mib << 20,
            retry_seconds=group.retry_seconds,
            stall_timeout=group.stall_timeout,
            progress_timeout=group.progress_timeout,
        )
        advertised = group.data_endpoint_host or conf.host
        self.jobs = Jobs(
            hypervisor=self._hypervisor,
            keys=keys,
            journal=self._journal,
            receiver=self._receiver,
            advertised=advertised,
            options=options,
        )
        self._undoing = cleanup.Undoing(self.jobs)

    def start(self) -> None:
        """Connect to libvirt, take up or undo what an earlier process left, listen.

        :raises HostError: why not.
        """
        self._journal.start()
        self._hypervisor.start()
        cleanup.take_up(self.jobs, self._hypervisor, self._journal, self._receiver)
        self._undoing.start()
        self._receiver.start()

    def stop(self) -> None:
        """Stop listening, undo what cannot outlive this process. Restored guests and sealed sources stay."""
        self._undoing.stop()
        self._receiver.stop()
        for job in self.jobs.all():
            if job.state not in _LASTING:
                try:
                    job.give_up(AgentLost("the agent was stopped in the middle of this migration"))
                except SV2MError as error:
                    LOG.error("Migration %s: undoing at stop: %s", job.migration_id, error)
        self._hypervisor.stop()
