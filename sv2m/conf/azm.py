# SPDX-License-Identifier: Apache-2.0
"""Options of [azm], and those of oslo.policy, in which policy.yaml is the file of rules."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_policy import opts

_OF_AGREEMENTS = "where the agreement has no such limit of its own. -1: no limit."
OPTS = [
    cfg.IntOpt("default_memory_mb", default=131072, min=-1, help=f"Most MiB of one arriving server, {_OF_AGREEMENTS}"),
    cfg.IntOpt("default_vcpus", default=32, min=-1, help=f"Most vCPUs of one arriving server, {_OF_AGREEMENTS}"),
    cfg.IntOpt(
        "default_disk_gb", default=4096, min=-1, help=f"Most GiB of disk of one arriving server, {_OF_AGREEMENTS}"
    ),
    cfg.IntOpt(
        "default_migrations",
        default=20,
        min=-1,
        help=f"Most servers of one peer that may be arriving at once, {_OF_AGREEMENTS}",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of [azm] and of [oslo_policy]."""
    conf.register_opts(OPTS, group="azm")
    opts.set_defaults(conf, "policy.yaml")


def list_opts() -> list[tuple[str, list[Any]]]:
    """Its own; oslo.policy lists its options under its own namespace."""
    return [("azm", OPTS)]
