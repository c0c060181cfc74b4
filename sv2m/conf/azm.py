# SPDX-License-Identifier: Apache-2.0
"""Options of AZM: those of oslo.policy, in which policy.yaml is the file of rules."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_policy import opts


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of [oslo_policy]."""
    opts.set_defaults(conf, "policy.yaml")


def list_opts() -> list[tuple[str, list[Any]]]:
    """None of its own; oslo.policy lists its options under its own namespace."""
    return []
