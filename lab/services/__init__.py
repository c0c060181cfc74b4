# SPDX-License-Identifier: Apache-2.0
"""The parts of a cloud, one file each. Every file has a COMPONENT (see base.py); this is their list."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache

from lab.services.base import Component

_NAMES = (
    "mariadb",
    "rabbitmq",
    "libvirtd",
    "keystone",
    "placement",
    "glance",
    "barbican",
    "neutron",
    "cinder",
    "nova",
)


@cache
def components() -> tuple[Component, ...]:
    """All parts in the order of the table that `status` prints; SV2M's own programs last."""
    names = [*_NAMES, *(["sv2m"] if importlib.util.find_spec("lab.services.sv2m") else [])]
    return tuple(importlib.import_module(f"lab.services.{name}").COMPONENT for name in names)
