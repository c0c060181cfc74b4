# SPDX-License-Identifier: Apache-2.0
"""A schema's error in words: which field, and what it should be.

jsonschema's own messages quote the value, whatever it is, and the pattern. Here a value is quoted only where the schema
has a title, so that no field is quoted because somebody has forgotten that it may hold a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from jsonschema import ValidationError

from sv2m.errors import shown

_TYPES = {
    "object": "a JSON object",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "boolean": "true or false",
    "null": "null",
}


def of(error: ValidationError, what: str) -> str:
    """The words.

    :param what: ``body`` or ``query``.
    """
    where = ".".join([what, *(shown(part) for part in error.absolute_path)])
    say = _WORDS.get(str(error.validator), _should_be)
    return f"{where}: {say(error)}"


def _should_be(error: ValidationError) -> str:
    schema: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    if "title" in schema:
        return f"{shown(error.instance)} is not {schema['title']}"
    return f"it is not {schema.get('description', 'what the API reference says')}"


def _type(error: ValidationError) -> str:
    wanted = error.validator_value
    return f"it is not {' or '.join(_TYPES[one] for one in ([wanted] if isinstance(wanted, str) else wanted))}"


def _enum(error: ValidationError) -> str:
    return f"{shown(error.instance)} is none of {_listed(error.validator_value)}"


def _missing(error: ValidationError) -> str:
    return f"{_listed(name for name in error.validator_value if name not in error.instance)} is missing"


def _unknown(error: ValidationError) -> str:
    known = error.schema.get("properties", {})
    return f"{', '.join(shown(name) for name in error.instance if name not in known)} is not known here"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


_WORDS: dict[str, Callable[[ValidationError], str]] = {
    "type": _type,
    "enum": _enum,
    "required": _missing,
    "additionalProperties": _unknown,
    "minimum": lambda error: f"{shown(error.instance)} is less than {error.validator_value}",
    "maximum": lambda error: f"{shown(error.instance)} is more than {error.validator_value}",
    "maxLength": lambda error: f"it has more than {error.validator_value} characters",
    "minLength": lambda error: "it is empty",
    "maxItems": lambda error: f"it has more than {error.validator_value} entries",
    "minProperties": lambda error: "it is empty",
    "maxProperties": lambda error: (
        f"it has more than {error.validator_value} entries" if error.validator_value else "nothing can be said here"
    ),
}
