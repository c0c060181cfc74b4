# SPDX-License-Identifier: Apache-2.0
"""Migrations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import webob

from sv2m import errors
from sv2m.api import evidence as evidence_files
from sv2m.api import pages, starting
from sv2m.api.call import Call, answer
from sv2m.db import audit, engine, messages, peers, timestamps
from sv2m.db import migrations as rows
from sv2m.db.models import Migration
from sv2m.engine import decisions
from sv2m.policies import migrations as rules

#: From here on the VM may run at the destination: neither cloud alone can take it back.
RELEASED = {
    "source": ("released", "receipted", "reclaiming", "relinquishing"),
    "destination": ("resuming", "resumed", "closing"),
}
#: RFC 7240, 4.1.
_LATER = "respond-async"


def view(row: Migration, base: str) -> dict[str, Any]:
    """A migration as the API shows it.

    :param base: URL of the collection.
    """
    error = None
    if row.error_code is not None:
        error = {
            "code": row.error_code,
            "message": row.error_message,
            "remedy": row.error_remedy,
            "fault": row.fault,
        }
    decision = decisions.of(row)
    return {
        "id": row.id,
        "role": row.role,
        "peer": row.peer,
        "server_id": row.server_id or (row.state or {}).get("asked"),
        "server_name": row.server_name,
        "project_id": row.project_id,
        "user_id": row.user_id,
        "phase": row.phase,
        "status": row.status,
        "error": error,
        "notice": (row.state or {}).get("notice") if error is None else None,
        "abort_requested": row.abort_requested,
        "decision": None
        if decision is None
        else {"kind": decision.kind, "reason": decision.reason, "at": _time(decision.at)},
        "bytes_total": row.bytes_total,
        "bytes_done": row.bytes_done,
        "bytes_sent": row.bytes_sent,
        "rate": row.rate if row.status == "running" else None,
        "average_rate": _average_rate(row),
        "downtime_ms": row.downtime_ms,
        "created_at": _time(row.created_at),
        "updated_at": _time(row.updated_at),
        "finished_at": _time(row.finished_at),
        "links": [{"rel": "self", "href": f"{base}/{row.id}"}],
    }


def _average_rate(row: Migration) -> int | None:
    if row.sending_from is None or row.progress_at is None or row.progress_at <= row.sending_from:
        return None
    return int(row.bytes_sent / (row.progress_at - row.sending_from).total_seconds())


def list_page(call: Call) -> webob.Response:
    """``GET /v1/migrations``."""
    everywhere = call.query.get("all_projects", "false").lower() in ("true", "1")
    call.authorize(rules.LIST_ALL if everywhere else rules.LIST)
    filters = {name: call.query.get(name) for name in _FILTERS}
    project_id = call.query.get("project_id") if everywhere else _own_project(call)
    with engine.session() as session:
        found = rows.list_page(
            session,
            limit=pages.limit_of(call) + 1,
            project_id=project_id,
            changes_since=_since(call.query.get("changes_since")),
            ascending=call.query.get("sort_dir") == "asc",
            **filters,
        )
    return pages.page(call, "migrations", [view(row, call.request.path_url) for row in found])


_FILTERS = ("status", "phase", "role", "server_id", "peer", "user_id", "marker")


def _own_project(call: Call) -> str | None:
    wanted = call.query.get("project_id")
    if wanted is not None and wanted != call.caller.project_id:
        raise errors.LocalError(
            "query.project_id: another project's are listed with all_projects=true alone", code="invalid-request"
        )
    return call.caller.project_id


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # A + that nobody has quoted arrives as a blank.
        given = datetime.fromisoformat(text[:11] + text[11:].replace(" ", "+"))
        given = given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise errors.LocalError(f"query.changes_since: {text} is no time", code="invalid-request") from error
    return given


def create(call: Call) -> webob.Response:
    """``POST /v1/migrations``: begin to move a server. The same request with the same ``id`` is one."""
    base = call.request.path_url.rstrip("/")
    # RFC 7240: a caller may prefer an answer before the work is done, and is told that he has got it.
    later = _prefers_later(call.request.headers.get("Prefer", ""))
    row = (starting.start_later if later else starting.start)(call, call.body["migration"])
    applied = {"Preference_Applied": _LATER} if later else {}
    return answer(202, {"migration": view(row, base)}, Location=f"{base}/{row.id}", **applied)


def _prefers_later(preferences: str) -> bool:
    """RFC 7240, 2: preferences between commas, each with parameters behind a semicolon, in any case."""
    return _LATER in [one.partition(";")[0].strip().lower() for one in preferences.split(",")]


def show(call: Call) -> webob.Response:
    """``GET /v1/migrations/{id}``."""
    return answer(200, {"migration": view(visible(call, rules.SHOW), collection(call))})


def abort(call: Call) -> webob.Response:
    """``POST /v1/migrations/{id}/abort``. Doing it twice does no harm.

    Before the release everything is undone, and the VM runs on where it was. After it only the destination's
    signed refusal could bring it back, so the answer is a conflict.
    """
    row = visible(call, rules.ABORT)
    if row.status != "aborted":
        if row.status == "running" and row.phase in RELEASED[row.role]:
            raise errors.Conflict(
                f"migration {row.id} is {row.phase}: the server may already run at the destination",
                code="past-release",
                remedy="Wait until it ends. Where nobody is left who could sign what became of it, a person has to "
                "decide: see doc/operating.md.",
            )
        noted = engine.transaction(lambda session: rows.request_abort(session, row.id, by=call.caller.who))
        with engine.session() as session:
            row = rows.get(session, row.id)
        if not noted and row.status != "aborted":
            raise errors.Conflict(
                f"migration {row.id} has ended: {row.status}",
                code="migration-finished",
                remedy="There is nothing left to abort.",
            )
        if noted:
            starting.wake(call, row.id, abort=True)
    return answer(202, {"migration": view(row, collection(call))})


def evidence(call: Call) -> webob.Response:
    """``GET /v1/migrations/{id}/evidence``: every signed message, as files, with how to check them."""
    row = visible(call, rules.EVIDENCE)
    with engine.session() as session:
        kept = evidence_files.Kept(
            row,
            messages.list_for(session, row.id),
            peers.find(session, row.peer),
            timestamps.list_for(session, row.id),
            audit.list_for(session, row.id),
            call.services.cloud_name,
        )
    content = evidence_files.archive(kept)
    response = webob.Response(status=200, body=content, content_type="application/zip")
    response.headers["Content-Disposition"] = f'attachment; filename="evidence-{row.id}.zip"'
    return response


def visible(call: Call, rule: str) -> Migration:
    """The migration of the path, if the caller may do this to it; what he may not see does not exist."""
    with engine.session() as session:
        row = rows.find(session, call.path["id"])
    if row is None or not (
        call.allows(rules.SHOW, row.project_id) or call.caller.project_id == row.project_id
    ):
        raise errors.NotFound(f"there is no migration {errors.shown(call.path['id'])}")
    call.authorize(rule, row.project_id)
    return row


def collection(call: Call) -> str:
    """The URL under which migrations are."""
    return f"{call.request.application_url}/v1/migrations"


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
