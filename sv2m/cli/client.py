# SPDX-License-Identifier: Apache-2.0
"""What a command speaks through."""

from __future__ import annotations

from typing import Any

from osc_lib.command import command

from sv2m.sdk.proxy import Proxy


def manager_of(asking: command.Command) -> Any:
    """The ``openstack`` command's client manager: an attribute per plugin, made when it is read."""
    return asking.app.client_manager


def client_of(asking: command.Command) -> Proxy:
    """The secure-migration API."""
    client: Proxy = manager_of(asking).secure_migration
    return client


def is_admin(manager: Any) -> bool:
    """Whether the token has the role of an administrator, as far as the command can see."""
    return "admin" in (getattr(getattr(manager, "auth_ref", None), "role_names", None) or ())
