# SPDX-License-Identifier: Apache-2.0
"""Migrations."""

from __future__ import annotations

from typing import Any

from openstack import exceptions, resource

#: Every status but running is final.
COMPLETED = "completed"
FINAL = (COMPLETED, "refused", "failed", "aborted")


class Migration(resource.Resource):
    """One migration, as one of the two clouds sees it."""

    resource_key = "migration"
    resources_key = "migrations"
    base_path = "/migrations"

    allow_create = True
    allow_fetch = True
    allow_list = True

    _query_mapping = resource.QueryParameters(
        "status",
        "phase",
        "role",
        "server_id",
        "peer",
        "project_id",
        "user_id",
        "changes_since",
        "sort_dir",
        "all_projects",
    )

    #: source or destination.
    role = resource.Body("role")
    #: Name of the other cloud.
    peer = resource.Body("peer")
    #: Name of the cloud to move to; only sent.
    destination = resource.Body("destination")
    server_id = resource.Body("server_id")
    server_name = resource.Body("server_name")
    project_id = resource.Body("project_id")
    user_id = resource.Body("user_id")
    phase = resource.Body("phase")
    #: running, completed, refused, failed or aborted.
    status = resource.Body("status")
    #: None, or a dict of code, message, remedy and fault.
    error = resource.Body("error", type=dict)
    #: What the server's owner has to know; None: nothing.
    notice = resource.Body("notice")
    #: None, or a dict of kind, reason and at: what a person has decided.
    decision = resource.Body("decision", type=dict)
    is_abort_requested = resource.Body("abort_requested", type=bool)
    bytes_total = resource.Body("bytes_total", type=int)
    #: Of disks and memory, holes and zeros too.
    bytes_done = resource.Body("bytes_done", type=int)
    #: What travelled.
    bytes_sent = resource.Body("bytes_sent", type=int)
    #: Bytes sent per second; None when it has ended.
    rate = resource.Body("rate", type=int)
    #: Over all the time in which something was sent.
    average_rate = resource.Body("average_rate", type=int)
    downtime_ms = resource.Body("downtime_ms", type=int)
    created_at = resource.Body("created_at")
    updated_at = resource.Body("updated_at")
    finished_at = resource.Body("finished_at")

    @property
    def is_final(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in FINAL

    def abort(self, session: Any) -> Migration:
        """Ask that it be aborted.

        :raises openstack.exceptions.ConflictException: it has ended, or was released.
        """
        response = session.post(f"{self.base_path}/{self.id}/abort", json={})
        exceptions.raise_from_response(response)
        self._translate_response(response)
        return self

    def decide(self, session: Any, kind: str, reason: str) -> Migration:
        """Say how it goes on, where nobody else can.

        :param kind: lost, running, taken-back, let-go or accept-key.
        :raises openstack.exceptions.ConflictException: that is not to be decided here, or not now.
        """
        body = {"decision": {"kind": kind, "reason": reason}}
        response = session.post(f"{self.base_path}/{self.id}/decide", json=body)
        exceptions.raise_from_response(response)
        self._translate_response(response)
        return self

    def evidence(self, session: Any) -> bytes:
        """Its signed messages, as a zip file."""
        response = session.get(f"{self.base_path}/{self.id}/evidence", headers={"Accept": "application/zip"})
        exceptions.raise_from_response(response)
        content: bytes = response.content
        return content
