# SPDX-License-Identifier: Apache-2.0
"""What follows when a person has decided how a migration goes on, because nobody is left who could sign it.

Such a decision is the engine's last resort, and is treated so. Before it is followed, whoever may know better is asked
once more: at A the peer, at B the host and Nova. Who answers is believed instead, the decision is dropped, and the
migration says why. What is followed is signed in the same transaction: as a Declaration, which is kept with the
evidence, and in the words that the protocol has for it.
"""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime
from typing import Final

from sv2m import errors, protocol
from sv2m.db import audit, messages
from sv2m.db.models import Migration
from sv2m.engine import decisions
from sv2m.engine.decisions import Decision
from sv2m.engine.work import Statement, Work, failure
from sv2m.protocol.declaration import ACCEPT_KEY, LET_GO, LOST, RUNNING, TAKEN_BACK
from sv2m.protocol.messages import DECLARED_LOST

LOG = logging.getLogger(__name__)

#: Under this and its kind a Declaration is kept.
DECLARATION: Final = "declaration-"
#: Error codes: a decision was not followed, and why; one was; the server may run at both clouds.
DROPPED: Final = "decision-dropped"
TWO_COPIES: Final = "two-copies"
#: Seconds for which a host is asked whether the guest is there.
_PATIENCE = 20.0
_UNKNOWN, _KNOWN, _SILENT = "unknown", "known", "silent"


def declare(work: Work, decision: Decision) -> tuple[str, Statement]:
    """Sign what was decided. :returns: what is kept, in the transaction in which it is followed."""
    services, machine = work.services, work.machine
    said = protocol.Declaration(
        migration_id=work.id,
        sid=machine.sid,
        cloud=services.conf.cloud_name,
        kind=decision.kind,
        reason=decision.reason,
        prepared_digest=_digest(work, protocol.Prepared),
        release_digest=_digest(work, protocol.Release),
        receipt_digest=_digest(work, protocol.Receipt),
        at=decision.at,
    )
    answer = services.mam.sign(work.context, base64.b64encode(protocol.encode(said)).decode("ascii"))
    document, digest = (base64.b64decode(answer[name]) for name in ("document_b64", "digest_b64"))
    return messages.SENT, Statement(f"{DECLARATION}{decision.kind}", digest, document)


def accepted_key(work: Work) -> list[tuple[str, Statement]]:
    """What is kept with a message that is taken: that its key was accepted, if a person has decided that."""
    decision = decisions.of(work.row)
    return [declare(work, decision)] if decision is not None and decision.kind == ACCEPT_KEY else []


def settled(row: Migration) -> dict[str, None]:
    """The columns of an error that tells of a dropped decision only: none, when somebody has signed what it was of."""
    names = ("fault", "error_code", "error_message", "error_remedy")
    return dict.fromkeys(names) if row.error_code == DROPPED else {}


# -- at A
# ---------------------------------------------------------------------------------------------------------


def instead_of_receipt(row: Migration) -> Decision | None:
    """``released``: what was decided about a VM of which B says nothing."""
    decision = decisions.of(row)
    return decision if decision is not None and decision.kind in (TAKEN_BACK, LET_GO) else None


def last_word(work: Work, decision: Decision) -> protocol.Received | None:
    """Ask B once more before a decision is followed. :returns: its Receipt; None: it says nothing that can be believed.

    :raises sv2m.errors.Conflict: B answers that it is at work: so the decision was dropped.
    """
    try:
        answer = work.services.peers.send(
            work.peer.url, work.peer.tls_ca_pem or work.peer.ca_pem, work.documents["Release"]
        )
    except errors.PeerError as error:
        LOG.warning("Migration %s: asked once more, and no Receipt: %s", work.id, error)
        return None
    if not answer.done:
        raise drop(work, decision, f"{work.row.peer} answers, and is at work on it: its own people have to decide")
    try:
        return work.verify(answer.document or b"", "Receipt")
    except errors.PeerError as error:
        # Where our own services fail, it may be good: that is no silence, and the step is done again.
        LOG.warning("Migration %s: asked once more, and no Receipt that is good: %s", work.id, error)
        return None


def go_on_without_receipt(work: Work, decision: Decision) -> None:
    """``released``: B is silent for ever, says a person at A, who takes the VM back, or lets it go."""
    work.machine.local(protocol.TakenBack() if decision.kind == TAKEN_BACK else protocol.LetGo())
    LOG.error("Migration %s: %s says nothing any more; decided by %s: %s", work.id, work.row.peer, *_who(decision))
    done = "runs here again" if decision.kind == TAKEN_BACK else "is removed here"
    told = errors.PeerUnreachable(
        f"{work.row.peer} has not signed what became of the server, and by decision of this cloud it {done}: "
        f"{decision.reason}",
        code=decision.kind,
        remedy="Keep the evidence (openstack secure migration evidence save): this cloud answers for the decision.",
    )
    work.commit(declare(work, decision), **failure(told))


def heard_afterwards(work: Work) -> dict[str, str]:
    """Columns for a Receipt that comes when the VM was taken back, or let go of, without it."""
    receipt, row = work.machine.message(protocol.Receipt), work.row
    decision = decisions.of(row)
    resumed, taken_back = receipt.outcome == "resumed", decision is not None and decision.kind == TAKEN_BACK
    if resumed and taken_back:
        text = f"{row.peer} has signed that the server runs there, and it was taken back here"
        return _two_copies(row, text, errors.PeerError)
    if not resumed and not taken_back:
        text = f"{row.peer} has signed that it does not run the server, which was let go of and is removed here"
        told = errors.RefusedByPeer(f"{text}: {receipt.reason}", code=LET_GO, remedy="Restore it from a backup.")
        return failure(told)
    return {}


# -- at B
# ---------------------------------------------------------------------------------------------------------


def follow_about_guest(work: Work) -> bool:
    """``resuming``: sign what a person has said of a guest whose host does not. :returns: whether that was done.

    :raises sv2m.errors.Conflict: somebody knows better: so the decision was dropped.
    """
    decision = decisions.of(work.row)
    if decision is None or decision.kind not in (LOST, RUNNING):
        return False
    why_not = _better_known(work, decision)
    if why_not is not None:
        raise drop(work, decision, why_not)
    LOG.error("Migration %s: the guest is %s; decided by %s: %s", work.id, decision.kind, *_who(decision))
    now, server_id = datetime.now(UTC), work.state["server_id"]
    if decision.kind == LOST:
        signed = work.sign(work.machine.local(protocol.DeclaredLost(now)))
        text = f"declared lost with its host {work.row.host}: {decision.reason}"
        told = errors.HostError(text, code=DECLARED_LOST, remedy="Nothing: the source takes its server back.")
        work.commit((messages.SENT, signed), declare(work, decision), **failure(told))
        return True
    # As when the host itself has said so.
    work.services.servers.reset_active(server_id)
    work.services.servers.mark_arrived(server_id, work.id)
    signed = work.sign(work.machine.local(protocol.DeclaredRunning(now)))
    work.commit((messages.SENT, signed), declare(work, decision), **{**settled(work.row), **overtaken(work)})
    return True


def _better_known(work: Work, decision: Decision) -> str | None:
    """Why a decision about the guest is not followed: who knows better than a person, and what they say."""
    host, server_id = work.row.host or "", work.state["server_id"]
    lost = decision.kind == LOST
    if lost and work.services.servers.has_arrived(server_id, work.id):
        return f"server {server_id} bears the mark of one that runs here: it was resumed"
    seen = _seen(work)
    if seen == _SILENT:
        silent = f"nova-compute on {host} reports to Nova, so it is not lost: start its sv2m-agent, or fence it first"
        return silent if lost and _reports(work) else None
    if seen == _KNOWN:
        return f"the agent on {host} knows what became of it, and is asked again"
    # Of one that ran, and has ended since, an agent without a journal knows nothing.
    if seen not in (("off",) if lost else ("running", "off")):
        return f"the agent on {host} says that it is {seen}"
    return None


def _seen(work: Work) -> str:
    """What the host says of the guest: running, paused, off; known, by its journal, which counts; or it is silent."""
    edm, host = work.services.edm, work.row.host or ""
    try:
        if edm.status(work.context, host, work.id)["state"] != _UNKNOWN:
            return _KNOWN
        return edm.power(work.context, host, work.state["server_id"], _PATIENCE)
    except errors.NotFound:
        return "off"
    except errors.AgentLost:
        return _SILENT


def _reports(work: Work) -> bool:
    try:
        work.services.servers.check_compute(work.row.host or "")
    except errors.ServiceUnavailable:
        return False
    return True


def undone_for_source(work: Work) -> bool:
    """``resuming``: A has signed that it took its VM back; then what has not run here never will.

    :returns: whether it is so.
    :raises sv2m.errors.AgentLost: nobody can say.
    """
    if "Closure" not in work.documents or work.services.servers.has_arrived(work.state["server_id"], work.id):
        return False
    try:
        # It refuses where the guest runs; and a call to let it run, which may still be under way, then finds none.
        work.services.edm.abort(work.context, work.row.host or "", work.id)
    except errors.Conflict:
        return False
    signed = work.sign(work.machine.local(protocol.CannotResume(TAKEN_BACK, datetime.now(UTC))))
    work.commit((messages.SENT, signed), **failure(_taken_back(work.row)))
    return True


def overtaken(work: Work) -> dict[str, str]:
    """Columns for a VM that runs here although A has signed that it took its own back; none where it has not."""
    closure = work.documents.get("Closure")
    return heard_taken_back(work.row, runs=True) if closure is not None else {}


def heard_taken_back(row: Migration, *, runs: bool) -> dict[str, str]:
    """Columns for A's word that it took its VM back.

    :param runs: whether it runs here.
    """
    if runs:
        text = f"{row.peer} has signed that it took the server back, and it was resumed here before that was known"
        return _two_copies(row, text, errors.PeerError)
    return failure(_taken_back(row)) if row.error_code is None else {}


def _taken_back(row: Migration) -> errors.PeerError:
    return errors.PeerError(
        f"{row.peer} took the server back after its Release, without a Receipt",
        code=TAKEN_BACK,
        remedy="Nothing: what was made for it here is removed.",
    )


def runs_all_the_same(row: Migration) -> dict[str, str]:
    """Columns for a guest that was declared lost and runs on the host that came back."""
    text = f"server {row.server_id} was declared lost here, so that {row.peer} took its own back"
    return _two_copies(row, f"{text}, and it runs on {row.host}", errors.HostError)


def _two_copies(row: Migration, text: str, kind: type[errors.SV2MError]) -> dict[str, str]:
    LOG.error("Migration %s: TWO COPIES: %s", row.id, text)
    told = kind(
        text,
        code=TWO_COPIES,
        remedy="Stop one of the two now, as you agree with the peer's operators; then save the evidence of both sides. "
        "See doc/operating.md, When a person has to decide.",
    )
    return failure(told)


# -- both
# ---------------------------------------------------------------------------------------------------------


def drop(work: Work, decision: Decision, why: str) -> errors.Conflict:
    """Take a decision out of the row, and say why. :returns: the error that says it, too."""
    error = errors.Conflict(
        f"the decision {decision.kind} was not followed: {why}",
        code=DROPPED,
        remedy="Nothing, if it goes on now. Otherwise decide again, when what stands in the way is no longer so.",
    )
    work.note(
        lambda session: audit.append(session, work.id, "decision-dropped", kind=decision.kind),
        state={**work.state, decisions.STATE: None},
        **failure(error),
    )
    return error


def _digest(work: Work, message: type[protocol.Message]) -> bytes:
    try:
        return work.machine.digest(message)
    except errors.IllegalTransition:
        return protocol.NOTHING


def _who(decision: Decision) -> tuple[str, str]:
    return decision.by, decision.reason

