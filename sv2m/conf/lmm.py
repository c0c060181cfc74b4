# SPDX-License-Identifier: Apache-2.0
"""Options of [lmm]: load monitoring."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

OPTS = [
    cfg.IntOpt(
        "interval", default=30, min=1, help="Seconds between two readings of Placement's and Nova's figures."
    ),
    cfg.IntOpt(
        "short_vcpus_percent",
        default=90,
        min=1,
        max=100,
        help="A host is short when more than this part of its vCPUs (times their allocation ratio) is taken.",
    ),
    cfg.IntOpt(
        "short_memory_percent",
        default=90,
        min=1,
        max=100,
        help="A host is short when more than this part of its memory is taken.",
    ),
    cfg.IntOpt(
        "short_disk_percent",
        default=90,
        min=1,
        max=100,
        help="A host is short when more than this part of its disk is taken.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of this group."""
    conf.register_opts(OPTS, group="lmm")


def list_opts() -> list[tuple[str, list[Any]]]:
    """Options by group, for oslo-config-generator."""
    return [("lmm", OPTS)]
