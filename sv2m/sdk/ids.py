# SPDX-License-Identifier: Apache-2.0
"""Ids that become a part of a URL's path: nothing that could lead to another path is ever put there."""

from __future__ import annotations

import re
from typing import TypeVar

from openstack import exceptions, resource

R = TypeVar("R", bound=resource.Resource)

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(r"[0-9a-f]{32}")
#: An id, or a name as evidence certificates have it: no slash, and no part of dots alone.
_PEER = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
#: Characters that are shown of what is none; a longer one may be anything.
_SHOWN = 40


def is_uuid(text: str) -> bool:
    """Whether it is a UUID, in any case."""
    return _UUID.fullmatch(text.lower()) is not None


def is_hex(text: str) -> bool:
    """Whether it is an id as Keystone makes them: a UUID without its hyphens."""
    return _HEX.fullmatch(text) is not None


def of_migration(given: str | R) -> str | R:
    """A migration's id, or a migration that has one.

    :raises openstack.exceptions.InvalidRequest: it is none.
    """
    return _checked(given, _UUID, "the id of a migration (a UUID)")


def of_peer(given: str | R) -> str | R:
    """A peer's id or name, or a peer that has one.

    :raises openstack.exceptions.InvalidRequest: it is none.
    """
    return _checked(given, _PEER, "the name or id of a peer")


def _checked(given: str | R, pattern: re.Pattern[str], what: str) -> str | R:
    text = str(given.id if isinstance(given, resource.Resource) else given)
    if pattern.fullmatch(text.lower()) is None:
        named = repr(text) if len(text) <= _SHOWN else "what was given"
        raise exceptions.InvalidRequest(f"{named} is not {what}")
    return given if isinstance(given, resource.Resource) else text.lower()
