# SPDX-License-Identifier: Apache-2.0
"""JSON schemas of bodies and query strings, a file per resource, and the one way to apply them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

from sv2m import errors
from sv2m.api.schemas import words

# \Z, not $: what $ lets pass may have a line end behind it. A title is what a value should be, for the message that
# says that it is not: only what has one is quoted there.
UUID = {
    "title": "a UUID",
    "type": "string",
    "pattern": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z",
}
#: A server's id may be written without hyphens nowhere in Nova; a project's may.
PROJECT = {"title": "the id of a project", "type": "string", "pattern": r"^[0-9a-zA-Z_-]{1,64}\Z"}
#: What evidence certificates and agreements call a cloud: a DNS-like name.
CLOUD_NAME = {
    "title": "the name of a cloud (a DNS name, in lower case)",
    "type": "string",
    "maxLength": 253,
    "pattern": r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z",
}
LIMIT = {"title": "a number of items (0 to 999999)", "type": "string", "pattern": r"^[0-9]{1,6}\Z"}


def validate(value: Any, schema: Mapping[str, Any], what: str) -> None:
    """Insist that ``value`` is what ``schema`` says, and that there is no private key anywhere in it.

    :param what: ``body`` or ``query``, for the message.
    :raises sv2m.errors.LocalError: it is not; the message names the field, and quotes no value that may be a secret.
    """
    for text in _texts(value):
        errors.refuse_private_key(text, f"the {what}")
    validator = jsonschema.Draft202012Validator(dict(schema))
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if error is not None:
        raise errors.LocalError(words.of(error, what), code="invalid-request")


def _texts(value: Any) -> Iterator[str]:
    """Every string in a JSON value, names too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield name
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
