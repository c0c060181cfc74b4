# SPDX-License-Identifier: Apache-2.0
"""At A, the last word: it is offered to B until B has taken it; and after a person's decision B's is still heard.

The migration is over here, and the server is free for another one, so no thread waits for a peer that is away: the row
says when it is tried once more, less and less often, and until then nobody reads more of the migration than that.
Without the Closure B would hold its room until the offer's lifetime ends (a withdrawal), or lack A's signed word that
nothing of the VM is left at A (a removal), or that it runs at A again (a person has taken it back).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from sv2m import errors, protocol
from sv2m.db import messages
from sv2m.engine import deciding
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


def report(work: Work) -> None:
    """``reporting``: one try to tell B that its VM was taken back. A Receipt that it answers with changes nothing here.

    :raises Later: as :func:`tell`.
    """
    _hear(work, _deliver(work, work.documents["Closure"]))
    work.machine.local(protocol.Told())
    work.commit(next_try_at=None)


def inquire(work: Work) -> None:
    """``inquiring``: one try to hear from B whether it has the VM that was let go. Its Receipt ends it either way.

    :raises Later: as :func:`tell`.
    """
    if not _hear(work, _deliver(work, work.documents["Release"])):
        work.machine.local(protocol.Told())
        work.commit(next_try_at=None)


def _hear(work: Work, document: bytes | None) -> bool:
    """Take a Receipt that came late. :returns: whether one came that is good."""
    if document is None or "Receipt" in work.documents:
        return False
    try:
        received = work.verify(document, "Receipt")
        work.machine.receive(received, datetime.now(UTC))
    except errors.PeerError as error:
        LOG.error("Migration %s: %s answered with something that is no good Receipt: %s", work.id, work.row.peer, error)
        return False
    work.commit((messages.RECEIVED, received), next_try_at=None, **deciding.heard_afterwards(work))
    return True


def _deliver(work: Work, document: bytes) -> bytes | None:
    """One try. :returns: what B answered; None: nothing, or it is time to stop asking.

    :raises Later: see :func:`tell`.
    """
    now = datetime.now(UTC)
    over = now - (work.row.finished_at or work.row.updated_at)
    try:
        answer = work.services.peers.send(work.peer.url, work.peer.tls_ca_pem or work.peer.ca_pem, document)
    except errors.SV2MError as error:
        why = str(error)
    else:
        if answer.done:
            return answer.document
        why = "it is at work on something that it finishes first"
    if over > timedelta(seconds=work.services.conf.engine.closure_patience):
        LOG.error("Migration %s: %s never took our last word: %s", work.id, work.row.peer, why)
        return None
    LOG.warning("Migration %s: our last word is not delivered, trying again later: %s", work.id, why)
    # As long again as it took until now.
    work.note(next_try_at=datetime.now(UTC) + min(_LONGEST, max(_SHORTEST, over)))
    raise Later
