# SPDX-License-Identifier: Apache-2.0
"""At A, from the first byte sent to the signed manifest: the one stretch in which the VM is touched."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import oslo_messaging
from oslo_db import exception as db_exc

from sv2m import errors, protocol
from sv2m.db import engine as database
from sv2m.db import messages, peers
from sv2m.engine.asking import Stopping
from sv2m.engine.lending import lent
from sv2m.engine.marking import LOCK_REASON, check_not_released, lock, lock_reason
from sv2m.engine.unchanged import check_before_stop
from sv2m.engine.work import Work

LOG = logging.getLogger(__name__)

#: Under which name both clouds keep the trailer's signature.
MANIFEST = "manifest"
_WAIT = 5.0
_PAUSE = 1.0
#: What comes of an answer that was lost.
_SILENT = (errors.AgentSilent, errors.ServiceUnavailable, db_exc.DBError, oslo_messaging.MessagingException)
#: Seconds that an agent, the broker or the database may be silent while the VM stands still.
_SILENCE = 120.0


def seal(work: Work) -> protocol.Sealed:
    """Send disks and memory through the agent, sign the manifest of what was sent, and seal that signature.

    :returns: what Transfer says: the streams as they came out, the signature's digest, the signature sealed.
    """
    edm, host = work.services.edm, work.row.host or ""
    lock(work)
    _begin(work, host)
    # An engine that was restarted may find the agent further than it left it.
    _await_ready(work, host)
    _stop_server(work)
    edm.stop_and_finish(work.context, host, work.id)
    _wait_for(work, host, {"sealed"}, work.services.conf.engine.downtime_timeout, _SILENCE)
    sealed = edm.manifest(work.context, host, work.id)
    streams = tuple(protocol.StreamSummary(**stream) for stream in sealed["streams"])
    signature = _trailer(work, sealed["manifest_b64"])
    answer = work.services.km.seal_signature(
        work.context, work.state["vmk_ref"], base64.b64encode(signature).decode("ascii")
    )
    return protocol.Sealed(streams, protocol.trailer_digest(signature), base64.b64decode(answer["sealed_b64"]))


def _begin(work: Work, host: str) -> None:
    """Have the agent begin, once for each VMK.

    An agent that has begun and knows nothing of it any more was restarted, and how much it has sealed under VMK nobody
    knows: the same place of a stream must never be sealed with other bytes under the same key (NIST SP 800-38D, 8.2).
    So it is written down first, and after that an agent that knows nothing ends the attempt.

    :raises AgentLost: the agent has begun before, and was restarted.
    """
    edm = work.services.edm
    if work.state.get("sending"):
        raise_if_failed(edm.wait(work.context, host, work.id, -1, 0.0), host)
        return
    with lent(work, host, [work.state["vmk_ref"]]):
        work.remember(sending=True)
        edm.start_source(work.context, host, work.id, source_job(work))
        # It reads VMK before it connects to B.
        _wait_for(work, host, {"precopy", "ready", "finishing", "sealed"}, work.services.conf.engine.precopy_timeout)


def _await_ready(work: Work, host: str) -> None:
    """Wait until the server may be stopped, and is what was offered.

    A server that this migration has stopped already writes nothing any more.
    """
    deadline = time.monotonic() + work.services.conf.engine.precopy_timeout
    while True:
        _wait_for(work, host, {"ready", "finishing", "sealed"}, deadline - time.monotonic())
        if work.state.get("stopped") and not _runs(work):
            return
        check_before_stop(work)
        # The last look: what was ready may have written much since, if this engine was busy, or is another one.
        if work.services.edm.may_stop(work.context, host, work.id):
            return


def _runs(work: Work) -> bool:
    """Whether the server runs although it was to be stopped: the engine was killed before it asked for that."""
    server = work.services.servers.get(work.row.server_id or "")
    return bool(server["status"] == "ACTIVE" and server["task_state"] is None)


def _trailer(work: Work, manifest_b64: str) -> bytes:
    """A's signature over what was sent: made once, and kept before it is sealed.

    Kept, because RSA-PSS never gives the same signature twice: a step that is done again after a crash would seal other
    bytes under the same VMK and IV. And because it is A's evidence: B's Receipt names the Transfer, the Transfer names
    this signature, and this names the VM; what the Transfer holds sealed nobody can open when VMK is destroyed.
    """
    kept = work.kept(MANIFEST)
    if kept is not None:
        return kept
    context = protocol.trailer_context(work.machine.binding())
    answer = work.services.mam.sign_manifest(work.context, base64.b64encode(context).decode("ascii"), manifest_b64)
    signature = base64.b64decode(answer["signature_b64"])
    work.keep_evidence({MANIFEST: (messages.SENT, signature)})
    return signature


def source_job(work: Work) -> dict[str, Any]:
    """What A's agent needs to know; references to keys, never keys."""
    not_after = work.row.not_after
    return {
        "server_id": work.row.server_id,
        "sid_b64": base64.b64encode(work.machine.sid).decode("ascii"),
        "vmk_ref": work.state["vmk_ref"],
        "endpoint": {"host": work.accepted.endpoint_host, "port": work.accepted.endpoint_port},
        "streams": work.state["streams"],
        "rate_limit": work.services.conf.engine.rate_limit,
        "data_networks": data_networks(work),
        "downtime": work.services.conf.engine.downtime_timeout,
        "lifetime": max(1.0, (not_after - datetime.now(UTC)).total_seconds()) if not_after is not None else 0,
    }


def data_networks(work: Work) -> list[str]:
    """In which the agreement wants the peer's data endpoint to lie; none: at any other host's address."""
    with database.session() as session:
        agreement = peers.find(session, work.row.peer)
    return list(agreement.data_networks or ()) if agreement is not None else []


def _stop_server(work: Work) -> None:
    """Lock, then pause, through Nova, so that nobody's click starts the VM behind our back.

    Written down first: whoever undoes this must know what was found.
    """
    server_id = work.row.server_id or ""
    servers = work.services.servers
    check_not_released(work, servers.get(server_id))
    if not work.state.get("stopped"):
        work.remember(stopped=True, paused_at=datetime.now(UTC).isoformat())
    servers.lock(server_id, lock_reason(LOCK_REASON, work.row))
    if work.state["found"] == "ACTIVE":
        timeout = work.services.conf.engine.downtime_timeout
        # An engine that was killed may have asked for it already, and Nova takes no second pause while it pauses.
        if servers.settle(server_id, timeout, ours=("pausing",))["status"] == "ACTIVE":
            servers.pause(server_id)
        servers.wait_for(server_id, {"PAUSED"}, timeout, ours=True, meanwhile=lambda: _look_meanwhile(work))


def _look_meanwhile(work: Work) -> None:
    """While Nova is at work, what else may end the migration: why stop a server that its agent has given up?"""
    host = work.row.host or ""
    if work.stopping.is_set():
        raise Stopping
    try:
        work.check_abort()
        status = work.services.edm.wait(work.context, host, work.id, -1, 0.0)
    except _SILENT as error:
        LOG.warning("Migration %s: while the server is paused: %s", work.id, error)
    else:
        raise_if_failed(status, host)


def _wait_for(
    work: Work, host: str, wanted: Collection[str], timeout: float, silence: float | None = None
) -> None:
    """Wait until the agent's job is in one of these states.

    An answer that is lost says nothing of the job: only the agent's own word, and time, end the waiting.

    :param silence: seconds without an answer after which the agent is lost; None: all the time that it has.
    """
    began = heard = time.monotonic()
    sequence = -1
    while True:
        if work.stopping.is_set():
            raise Stopping
        try:
            work.check_abort()
            status = work.services.edm.wait(work.context, host, work.id, sequence, _WAIT)
            sequence = status["seq"]
            work.progress(status)
        except _SILENT as error:
            if time.monotonic() - heard > (timeout if silence is None else silence):
                raise errors.AgentLost(f"nothing was heard of sv2m-agent on {host} for too long: {error}") from error
            LOG.warning("Migration %s: %s did not answer, asking again: %s", work.id, host, error)
            work.stopping.wait(_PAUSE)
            continue
        heard = time.monotonic()
        if status["state"] in wanted:
            return
        raise_if_failed(status, host)
        if heard - began > timeout:
            raise errors.HostError(
                f"the agent on {host} is still in state {status['state']} after {timeout:.0f} s",
                code="transfer-timeout",
                remedy="Look at the data channel's rate, or raise the timeouts in [engine].",
            )


def raise_if_failed(status: dict[str, Any], host: str) -> None:
    """Turn an agent's report of failure, or of ignorance, into the error that it is."""
    if status["state"] == "unknown":
        raise errors.AgentLost(f"sv2m-agent on {host} knows nothing of this migration: it was restarted")
    if status["state"] == "failed":
        error = status["error"] or {}
        raise errors.HostError(
            error.get("message", "the agent failed"), code=error.get("code"), remedy=error.get("remedy")
        )
