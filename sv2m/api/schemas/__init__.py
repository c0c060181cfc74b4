# SPDX-License-Identifier: Apache-2.0
"""JSON schemas of bodies and query strings, a file per resource, and the one way to apply them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema

from sv2m import errors

#: A message that quotes a value stops here: values may be long.
_LONGEST = 300

# \Z, not $: what $ lets pass may have a line end behind it.
UUID = {"type": "string", "pattern": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"}
#: A server's id may be written without hyphens nowhere in Nova; a project's may.
PROJECT = {"type": "string", "pattern": r"^[0-9a-zA-Z_-]{1,64}\Z"}
#: What evidence certificates and agreements call a cloud: a DNS-like name.
CLOUD_NAME = {
    "type": "string",
    "maxLength": 253,
    "pattern": r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z",
}
LIMIT = {"type": "string", "pattern": r"^[0-9]{1,6}\Z"}


def validate(value: Any, schema: Mapping[str, Any], what: str) -> None:
    """Insist that ``value`` is what ``schema`` says.

    :param what: ``body`` or ``query``, for the message.
    :raises sv2m.errors.LocalError: it is not; the message names the field.
    """
    validator = jsonschema.Draft202012Validator(dict(schema))
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if error is not None:
        where = ".".join([what, *(str(part) for part in error.absolute_path)])
        raise errors.LocalError(f"{where}: {error.message[:_LONGEST]}", code="invalid-request")
