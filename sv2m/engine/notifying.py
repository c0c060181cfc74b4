# SPDX-License-Identifier: Apache-2.0
"""The audit log as notifications in CADF form (DMTF DSP0262), for whatever collects a cloud's audit events.

They are emitted from the log, after the transaction, by a thread of its own: a migration never waits for a broker, an
event that a killed process did not emit is emitted later, and one may come twice (its id is the same both times).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pycadf import attachment, cadftaxonomy, event, resource

from sv2m.db import audit, leases
from sv2m.db import engine as database
from sv2m.rounds import Rounds

#: What a notification's event type begins with; the audit event's action follows.
PREFIX = "secure_migration.audit."
#: CADF's names for our actions; a phase is an update of the migration.
_ACTIONS = {"created": "create", "deleted": "delete", "sent": "send", "received": "receive"}
_FAILED = ("failed", "refused", "aborted")
_AT_ONCE = 200
#: How long an engine that has emitted is the one that does, at least.
_LEASE = timedelta(seconds=60)


class Notifier(Protocol):
    """oslo.messaging's."""

    def info(self, ctxt: dict[str, Any], event_type: str, payload: dict[str, Any]) -> None:
        """Emit a notification."""
        ...


class AuditPublisher(Rounds):
    """Emits what was not emitted yet.

    :param observer: this cloud's name.
    :param interval: seconds between two looks.
    :param engine: this engine's name: of several one emits.
    """

    def __init__(self, notifier: Notifier, observer: str, interval: float, engine: str = "engine") -> None:
        super().__init__("Emitting audit events", interval)
        self._notifier = notifier
        self._observer = observer
        self._engine = engine

    def look(self) -> int:
        """Emit what is due, in the order in which it happened.

        :returns: how many.
        """
        with database.session() as session:
            events = audit.unnotified(session, _AT_ONCE)
        if not events or not self._is_ours():
            return 0
        for one in events:
            with self.each(f"Event {one.number} of {one.subject}", (KeyError, TypeError, ValueError)):
                said = json.loads(one.line)
                payload = cadf(said, one.digest, self._observer)
                self._notifier.info({}, f"{PREFIX}{said['action']}", payload)
        # What cannot be read now never can; it is in the log, and keeps back nothing that came after it.
        with database.session() as session:
            audit.mark_notified(session, events)
        return len(events)

    def _is_ours(self) -> bool:
        """Whether this engine emits, of several."""
        now = datetime.now(UTC)
        until = now + max(_LEASE, 3 * timedelta(seconds=self._interval))
        return database.transaction(lambda session: leases.take(session, "audit-events", self._engine, now, until))


def cadf(said: Mapping[str, Any], digest: bytes, observer: str) -> dict[str, Any]:
    """An audit event as a CADF activity event.

    :param said: the event's line, read.
    :param observer: the cloud's name.
    """
    subject = _uuid(said["subject"])
    by = said.get("user_id") or said.get("by")
    kind = cadftaxonomy.ACCOUNT_USER if said.get("user_id") else cadftaxonomy.SERVICE_SECURITY
    action = said.get("direction", said["action"]) if said["action"] == "document" else said["action"]
    made = event.Event(
        # The same event has the same id, however often it is emitted.
        id=str(uuid.uuid5(uuid.UUID(subject), str(said["number"]))),
        eventTime=said["at"].replace("Z", "+0000"),
        action=_ACTIONS.get(action, f"update/{action}"),
        outcome=cadftaxonomy.OUTCOME_FAILURE if said.get("status") in _FAILED else cadftaxonomy.OUTCOME_SUCCESS,
        initiator=resource.Resource(id=_uuid(by or observer), typeURI=kind, name=str(by or observer)),
        target=resource.Resource(id=subject, typeURI="data/workload/job"),
        observer=resource.Resource(id=_uuid(observer), typeURI=cadftaxonomy.SERVICE_SECURITY, name=observer),
        name=f"{PREFIX}{said['action']}",
    )
    details = {**said, "digest": digest.hex()}
    made.add_attachment(attachment.Attachment(typeURI="sv2m/audit-event", content=details, name="audit-event"))
    return dict(made.as_dict())


def _uuid(value: str) -> str:
    """CADF's ids are UUIDs; what is none gets one that is always the same."""
    try:
        return str(uuid.UUID(value))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, value))
