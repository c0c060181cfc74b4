# SPDX-License-Identifier: Apache-2.0
"""Which compute hosts' agents live: they are asked, because a compute host makes no calls.

Of several engines the one whose host comes first asks. Two that both believe so, for a moment, ask twice.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sv2m import errors, reporting
from sv2m.db import engine as database
from sv2m.db import services as reports
from sv2m.engine.services import Services
from sv2m.rounds import Rounds

LOG = logging.getLogger(__name__)

#: Agents that are asked at the same time. A host without one costs a thread the patience for a call, and in a cloud in
#: which most hosts have none, all must have been asked before who answered first counts as down.
_AT_ONCE = 64


class Roll(Rounds):
    """Asks every compute host's agent whether it is there.

    :param host: this engine's.
    """

    def __init__(self, services: Services, host: str) -> None:
        super().__init__("Asking the agents whether they run", reports.REPORTED_EVERY)
        self._services = services
        self._host = host

    def look(self) -> None:
        """Ask all, if that is ours to do.

        :raises sv2m.errors.SV2MError: which hosts there are cannot be known.
        """
        with database.session() as session:
            engines = reports.up(session, reporting.ENGINE, datetime.now(UTC))
        if engines and engines[0] != self._host:
            return
        hosts = [one["host"] for one in self._services.lmm.load({"request_id": "roll"})["hosts"]]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="roll") as threads:
            list(threads.map(self._ask, hosts))

    def _ask(self, host: str) -> None:
        if self._stop.is_set():
            return
        try:
            answer = self._services.edm.endpoint({"request_id": "roll"}, host)
        except errors.SV2MError as error:
            LOG.debug("The agent of host %s: %s", host, error)
            return
        reporting.written_down(reporting.AGENT, host, str(answer.get("version", "")))
