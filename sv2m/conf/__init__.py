# SPDX-License-Identifier: Apache-2.0
"""Configuration options, one file per group."""

from __future__ import annotations

import importlib
from typing import Any

from oslo_config import cfg

CONF = cfg.CONF

_GROUPS = (
    "default",
    "service_credentials",
    "api",
    "gateway",
    "engine",
    "evidence",
    "agent",
    "cmm",
    "azm",
    "lmm",
    "mam",
    "km",
)


def register(conf: cfg.ConfigOpts = CONF) -> cfg.ConfigOpts:
    """Register every option of SV2M on ``conf``, and return it. Doing it twice does no harm."""
    for name in _GROUPS:
        importlib.import_module(f"sv2m.conf.{name}").register_opts(conf)
    return conf


def list_opts() -> list[tuple[str, list[Any]]]:
    """All options by group, for oslo-config-generator."""
    return [
        entry for name in _GROUPS for entry in importlib.import_module(f"sv2m.conf.{name}").list_opts()
    ]
