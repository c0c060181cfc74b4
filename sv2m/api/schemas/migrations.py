# SPDX-License-Identifier: Apache-2.0
"""What a caller may say about migrations."""

from __future__ import annotations

from sv2m.api import schemas
from sv2m.protocol.declaration import MAX_REASON, OF_ROLE

#: ``id`` is the caller's to choose, so that a request of which the answer was lost may be sent again.
CREATE = {
    "type": "object",
    "properties": {
        "migration": {
            "type": "object",
            "properties": {
                "id": schemas.UUID,
                "server_id": schemas.UUID,
                "destination": schemas.CLOUD_NAME,
            },
            "required": ["server_id", "destination"],
            "additionalProperties": False,
        }
    },
    "required": ["migration"],
    "additionalProperties": False,
}

ABORT = {"type": "object", "maxProperties": 0}

DECIDE = {
    "type": "object",
    "properties": {
        "decision": {
            "type": "object",
            "properties": {
                "kind": {"enum": sorted({kind for kinds in OF_ROLE.values() for kind in kinds})},
                "reason": {"type": "string", "minLength": 1, "maxLength": MAX_REASON},
            },
            "required": ["kind", "reason"],
            "additionalProperties": False,
        }
    },
    "required": ["decision"],
    "additionalProperties": False,
}

LIST_QUERY = {
    "type": "object",
    "properties": {
        "status": {"enum": ["running", "completed", "refused", "failed", "aborted"]},
        "role": {"enum": ["source", "destination"]},
        "server_id": schemas.UUID,
        "peer": schemas.CLOUD_NAME,
        "all_projects": {"enum": ["true", "false", "True", "False", "1", "0"]},
        "phase": {"title": "a phase", "type": "string", "pattern": r"^[a-z]{1,32}\Z"},
        "project_id": schemas.PROJECT,
        "user_id": {**schemas.PROJECT, "title": "the id of a user"},
        "changes_since": {
            "title": "a time in ISO 8601",
            "type": "string",
            "pattern": r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([+ -]\d\d:\d\d|Z)?)?\Z",
        },
        "sort_dir": {"enum": ["asc", "desc"]},
        "limit": schemas.LIMIT,
        "marker": schemas.UUID,
    },
    "additionalProperties": False,
}
