# SPDX-License-Identifier: Apache-2.0
"""What an administrator may say about peers."""

from __future__ import annotations

from typing import Any

from sv2m.api import schemas
from sv2m.evidence import pem

#: What is in it, :mod:`sv2m.evidence.pem` looks at.
_PEM = {"type": "string", "maxLength": pem.MAX_BYTES, "minLength": 1}
#: Of a host, DNS name or IPv4 address.
_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?"
#: 1 to 65535.
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}

_CHANGEABLE: dict[str, Any] = {
    # Nothing but https: the control channel's confidentiality is TLS's.
    "url": {
        "description": "https://HOST or https://HOST:PORT",
        "type": "string",
        "maxLength": 1024,
        "pattern": rf"^https://({_NAME}|\[[0-9a-f:.]+\])(:{_PORT})?/?\Z",
    },
    "ca_pem": _PEM,
    "tls_ca_pem": {**_PEM, "minLength": 0},
    "direction": {"enum": ["outgoing", "incoming", "both"]},
    "project_id": {**schemas.PROJECT, "type": ["string", "null"]},
    "limits": {
        "type": "object",
        "properties": {"memory_mb": _COUNT, "vcpus": _COUNT, "disk_gb": _COUNT, "migrations": _COUNT},
        "additionalProperties": False,
    },
    # By what the Offer says of a disk, never by the other cloud's name for its type: that is none of our business.
    "volume_type_map": {
        "type": "object",
        "propertyNames": {
            "title": "plain or CIPHER-BITS, such as aes-xts-plain64-256",
            "pattern": r"^(plain|[a-z0-9]+(-[a-z0-9:]+){1,3}-[0-9]{3,4})\Z",
        },
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 255},
        "maxProperties": 100,
    },
    # Whether they are networks, :class:`sv2m.protocol.reach.Reach` looks at.
    "data_networks": {
        "type": "array",
        "items": {
            "description": "a network, as ADDRESS/BITS",
            "type": "string",
            "maxLength": 64,
            "pattern": r"^[0-9a-fA-F:.]+/[0-9]{1,3}\Z",
        },
        "maxItems": 100,
    },
    "enabled": {"type": "boolean"},
}


def _peer(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    peer = {
        "type": "object",
        "properties": properties,
        "required": required,
        "minProperties": 1,
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"peer": peer},
        "required": ["peer"],
        "additionalProperties": False,
    }


CREATE = _peer({"name": schemas.CLOUD_NAME, **_CHANGEABLE}, ["name", "url", "ca_pem", "direction"])
#: The name is who the peer is: another name is another agreement.
UPDATE = _peer(_CHANGEABLE, [])

LIST_QUERY = {
    "type": "object",
    "properties": {"limit": schemas.LIMIT, "marker": {"type": "string", "maxLength": 253}},
    "additionalProperties": False,
}
