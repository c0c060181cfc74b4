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


class Stopping(Exception):
    """This engine is told to stop; the migration's row says where whoever comes next goes on."""


def ask(work: Work, document: bytes, *, insist: bool = False) -> bytes | None:
    """Send one document and return the peer's signed reply, None where there is none.

    :param insist: True after the commit: neither an abort, nor the offer's lifetime, nor an unsigned refusal ends the
        asking, because only the peer's signature can say what became of the VM.
    :raises PeerUnreachable: no answer within ``[gateway] peer_patience``.
    :raises RefusedByPeer: the peer refused (never with ``insist``).
    """
    deadline = time.monotonic() + work.services.conf.gateway.peer_patience
    pause = _PAUSE
    while True:
        if work.stopping.is_set():
            raise Stopping
        if not insist:
            work.check_abort()
        try:
            answer = work.services.peers.send(work.peer.url, work.peer.tls_ca_pem or work.peer.ca_pem, document)
        except (errors.PeerUnreachable, errors.RefusedByPeer) as error:
            if not insist and (isinstance(error, errors.RefusedByPeer) or time.monotonic() > deadline):
                raise
            LOG.warning("Migration %s: %s; asking again in %.0f s", work.id, error, pause)
            work.stopping.wait(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
            continue
        if answer.done:
            return answer.document
        if not insist and time.monotonic() > deadline:
            raise errors.PeerUnreachable("the peer says that it is still working, for too long")
        pause = _PAUSE
        work.stopping.wait(pause)
