# SPDX-License-Identifier: Apache-2.0
"""Asking the peer until it has answered: the same signed bytes again and again, which it takes as one question."""

from __future__ import annotations

import logging
import time

from sv2m import errors
from sv2m.engine.work import Work

LOG = logging.getLogger(__name__)

_PAUSE = 0.5
_LONGEST_PAUSE = 15.0
#: Between two questions to a peer that is at work, and did not hold the last one: it has others to answer. A guest may
#: stand still, so not much longer.
_LONGEST_WORK_PAUSE = 2.0


class Stopping(Exception):
    """This engine is told to stop; the migration's row says where whoever comes next goes on."""


def ask(work: Work, document: bytes, *, committed: bool = False) -> bytes | None:
    """Send one document and return the peer's signed reply, None where there is none.

    :param committed: True after the commit: neither an abort nor the offer's lifetime ends the asking. What is raised
        then ends nothing either: the step is done again, because only the peer's signature can say what became of the
        VM. A peer that is away so keeps no thread from others' work.
    :raises PeerUnreachable: no answer within ``[gateway] peer_patience``.
    :raises RefusedByPeer: the peer refused.
    """
    deadline = time.monotonic() + work.services.conf.gateway.peer_patience
    pause = _PAUSE
    while True:
        if work.stopping.is_set():
            raise Stopping
        if not committed:
            work.check_abort()
        asked = time.monotonic()
        try:
            answer = work.services.peers.send(work.peer.url, work.peer.tls_ca_pem or work.peer.ca_pem, document)
        except (errors.PeerUnreachable, errors.RefusedByPeer) as error:
            if committed or isinstance(error, errors.RefusedByPeer) or time.monotonic() > deadline:
                raise
            LOG.warning("Migration %s: %s; asking again in %.0f s", work.id, error, pause)
            work.stopping.wait(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
            continue
        if answer.done:
            return answer.document
        if time.monotonic() > deadline:
            raise errors.PeerUnreachable("the peer says that it is still working, for too long")
        held = time.monotonic() - asked > _LONGEST_WORK_PAUSE
        pause = _PAUSE if held else min(_LONGEST_WORK_PAUSE, pause)
        work.stopping.wait(pause)
        pause *= 2
