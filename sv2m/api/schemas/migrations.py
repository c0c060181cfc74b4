# SPDX-License-Identifier: Apache-2.0
"""What a caller may say about migrations."""

from __future__ import annotations

from sv2m.api import schemas

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

LIST_QUERY = {
    "type": "object",
    "properties": {
        "status": {"enum": ["running", "completed", "refused", "failed", "aborted"]},
        "role": {"enum": ["source", "destination"]},
        "server_id": schemas.UUID,
        "peer": schemas.CLOUD_NAME,
        "all_projects": {"enum": ["true", "false", "True", "False", "1", "0"]},
        "limit": schemas.LIMIT,
        "marker": schemas.UUID,
    },
    "additionalProperties": False,
}
