# SPDX-License-Identifier: Apache-2.0
"""At A, the last word: the Closure is offered to B until B has taken it.

The migration is over here, and the server is free for another one, so no thread waits for a peer that is away: the row
says when it is tried once more, less and less often, and until then nobody reads more of the migration than that.
Without it B would hold its room until the offer's lifetime ends (a withdrawal), or lack A's signed word that nothing of
the VM is left at A (a removal).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from sv2m import errors, protocol
from sv2m.engine.work import Work

LOG = logging.getLogger(__name__)

_SHORTEST, _LONGEST = timedelta(seconds=5), timedelta(hours=1)


class Later(Exception):
    """The peer has not taken it yet; recovery comes back to it."""


def tell(work: Work) -> None:
    """``closing`` and ``telling``: one try to deliver the Closure, if one was signed.

    :raises Later: it was not taken.
    """
    document = work.documents.get("Closure")
    if document is not None:
        _deliver(work, document)
    work.machine.local(protocol.Told())
    work.commit(next_try_at=None)


def _deliver(work: Work, document: bytes) -> None:
    now = datetime.now(UTC)
    over = now - (work.row.finished_at or work.row.updated_at)
    try:
        answer = work.services.peers.send(work.peer.url, work.peer.tls_ca_pem or work.peer.ca_pem, document)
    except errors.SV2MError as error:
        if over > timedelta(seconds=work.services.conf.engine.closure_patience):
            LOG.error("Migration %s: %s never took our Closure: %s", work.id, work.row.peer, error)
            return
        LOG.warning("Migration %s: Closure not delivered, trying again later: %s", work.id, error)
    else:
        if answer.done:
            return
        # B is at work on something that it finishes first.
    # As long again as it took until now.
    work.note(next_try_at=datetime.now(UTC) + min(_LONGEST, max(_SHORTEST, over)))
    raise Later
